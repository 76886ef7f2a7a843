/**
 * actionlint and act, with which the workflows are tested, are programs in Go: built from the module proxy, in these versions, into .cache/
 * once. What was downloaded is compared with Go's checksum database. Nothing of them is part of the product.
 */
import { accessSync, constants, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { download, saidBy } from './download.mjs'
import { root } from './node24.mjs'

const tools = {
  actionlint: { module: 'github.com/rhysd/actionlint/cmd/actionlint', version: 'v1.7.12' },
  act: { module: 'github.com/nektos/act', version: 'v0.2.89' },
}

const directoryOf = name => join(root, '.cache', `${name}-${tools[name].version}`)

/** Path of the program; it is there after `installGoTools`. */
export const goTool = name => join(directoryOf(name), name)

export function isBuilt(name) {
  try {
    accessSync(goTool(name), constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** null: both are there. */
export const whyNoGoTools = () =>
  Object.keys(tools).every(isBuilt)
    ? null
    : 'actionlint and act are not built: they need Go, and `npm test` builds them'

/** Variables with which a machine's owner exempts modules from the checksum database: not for these. */
const exemptions = ['GONOSUMDB', 'GONOSUMCHECK', 'GOPRIVATE', 'GOINSECURE', 'GOFLAGS']

function build(name) {
  mkdirSync(directoryOf(name), { recursive: true })
  const inherited = Object.entries(process.env).filter(([key]) => !exemptions.includes(key))
  const env = {
    ...Object.fromEntries(inherited),
    GOBIN: directoryOf(name),
    GOSUMDB: 'sum.golang.org',
    GOFLAGS: '-mod=mod -trimpath -p=2',
    GOMAXPROCS: '2',
  }
  const { module, version } = tools[name]
  return download('go', ['install', `${module}@${version}`], { env })
}

/** Builds what is not there. Where Go is missing: gives the sentence that says what is left out, or throws it when CI=true. */
export function installGoTools() {
  for (const name of Object.keys(tools)) {
    if (isBuilt(name)) continue
    const built = build(name)
    if (isBuilt(name)) continue
    const without = built.error?.code === 'ENOENT'
    const { module, version } = tools[name]
    const why = without
      ? `Go is missing, so ${name} cannot be built: the workflows are not tested with it. Install Go 1.25 or newer (go.dev/doc/install).`
      : `${module}@${version} is not to be had: ${saidBy(built)}`
    if (!without || process.env.CI === 'true') throw new Error(why)
    return why
  }
  return null
}
