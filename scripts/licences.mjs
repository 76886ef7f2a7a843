/**
 * The licences of what is in the bundle: each package's is on the list, and its text is in dist/licenses.txt. Asked by every build
 * (scripts/build.mjs), of the bundler's own account of what it put in.
 */

/** SPDX identifiers that ask for no more than that their text goes along. Another one is a decision, made here. */
export const allowed = 'MIT MIT-0 ISC 0BSD BSD-2-Clause BSD-3-Clause Apache-2.0 Unlicense BlueOak-1.0.0 CC0-1.0'.split(
  ' ',
)

/** The bundler's own stand-ins (a module that was not found) carry its name; they are none of the package's code. */
const bundler = '@vercel/ncc'

/** Directories of the packages whose modules are in the bundle, as `node_modules/a/node_modules/@b/c`; sorted. `stats`: webpack's. */
export function bundledPackages(stats) {
  const names = modules => (modules ?? []).flatMap(module => [module.name ?? '', ...names(module.modules)])
  const found = names(stats.modules).flatMap(name => {
    const package_ = /^\.\/((?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(name)?.[1]
    return package_ === undefined || package_.endsWith(`node_modules/${bundler}`) ? [] : [package_]
  })
  return [...new Set(found)].sort()
}

/** What a package.json says, also in the form of before 2015 (`licenses: [{ type }]`); null: nothing. */
export function licenceOf(manifest) {
  const old = Array.isArray(manifest.licenses) ? manifest.licenses.map(each => each.type ?? each) : []
  const said = manifest.license?.type ?? manifest.license ?? (old.length === 1 ? old[0] : null)
  return typeof said === 'string' ? said : null
}

/** What is wrong, as sentences. `packages`: the bundled ones' package.json; `text`: licenses.txt. */
export function problems(packages, text) {
  return packages.flatMap(manifest => {
    const { name, version } = manifest
    const licence = licenceOf(manifest)
    if (licence === null) return [`${name} ${version} is in the bundle and names no licence`]
    if (!allowed.includes(licence))
      return [`${name} ${version} is in the bundle under ${licence}, which is not on the list of scripts/licences.mjs`]
    const heading = `\n${name}\n${licence}\n`
    const at = `\n${text}`.indexOf(heading)
    if (at < 0) return [`licenses.txt has no ${licence} of ${name}, which is in the bundle`]
    // Without a licence file of the package the next package's name follows after an empty line.
    const first = `\n${text}`.slice(at + heading.length).split('\n', 1)[0] ?? ''
    return first.trim() === '' ? [`licenses.txt names ${name} without the text of its licence`] : []
  })
}
