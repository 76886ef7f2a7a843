import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManifestError } from '../../src/errors.ts'
import type { Manifest } from '../../src/manifest/manifest.ts'
import { meetsAny, overlap, previewPath } from '../../src/manifest/preview-path.ts'
import { readManifest, readPreviewManifest } from '../../src/manifest/read.ts'
import { base, problems } from './reading.ts'

const block = 'servers: [d@p], release: {path: "/srv/previews/pr-${{ pull_request.number }}"}'
const preview = (text: string, number: number | null = 7): Manifest =>
  readPreviewManifest({ file: 'deploy.yml', text }, number)
const previewOf = (top: string, more = ''): Manifest => preview(`${base}${top}\npreviews: {${block}${more}}`)
const refused = (text: string): readonly string[] => {
  try {
    preview(text)
    return []
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    return error.problems.map(p => `${p.line}:${p.column} ${p.message}`)
  }
}

describe('the manifest of a preview', () => {
  it('takes over steps, checks, env, ssh and shell, and what of the release is no path', () => {
    const manifest = previewOf(
      [
        'shell: bash -l',
        'env: {RAILS_ENV: production, IMAGE: }',
        'prepare: p',
        'activate: a',
        'finalize: f',
        'cleanup: c',
        'verify: {command: v}',
        'release: {path: /srv/site, source: dist, exclude: "*.map", keep: 2, shared: [log/, .env]}',
      ].join('\n'),
    )
    expect(manifest).toMatchObject({
      application: 'site',
      environment: 'pr-7',
      shell: 'bash -l',
      env: { RAILS_ENV: 'production', IMAGE: null },
      prepare: [{ run: 'p' }],
      activate: [{ run: 'a' }],
      finalize: [{ run: 'f' }],
      cleanup: [{ run: 'c' }],
      verify: [{ command: 'v' }],
      release: {
        path: '/srv/previews/pr-${{ pull_request.number }}',
        source: 'dist',
        exclude: ['*.map'],
        keep: 2,
        // A file would have to be there before the first deployment.
        shared: ['log/'],
      },
      preview: { number: 7, limit: 20 },
    })
    expect(manifest.servers.map(s => `${s.user}@${s.host}`)).toEqual(['d@p'])
  })

  it('takes over nothing that belongs to an environment', () => {
    const manifest = previewOf(
      [
        'url: https://site.example.com',
        'secrets: [DATABASE_URL]',
        'migrate: m',
        'load_balancers: {edge: {provider: haproxy, backends: b, hosts: h}}',
        'rollout: {strategy: rolling, batch: 50%, min_in_service: 1, max_failures: 100%, groups: [{roles: web}], unreachable: skip, on_failure: stop, lock_wait: 5m, max_parallelism: 3}',
      ].join('\n'),
    )
    const { url, secrets, migrate, load_balancers, rollout } = manifest
    expect({ url, secrets, migrate, load_balancers }).toEqual({
      url: undefined,
      secrets: [],
      migrate: undefined,
      load_balancers: {},
    })
    expect(rollout).toMatchObject({ groups: [], lock_wait: 300, max_parallelism: 3, unreachable: 'fail' })
    expect([rollout.strategy, rollout.batch]).toEqual([undefined, preview(`${base}previews: {${block}}`).rollout.batch])
    expect(manifest.written.has('rollout.batch')).toBe(false)
    expect(manifest.servers).toHaveLength(1)
  })

  it('has what its own block says in place of it', () => {
    const more =
      ', prepare: [], activate: x, env: {RAILS_ENV: staging, MORE: 1}, secrets: [KEY], shell: sh, url: "https://${{ pull_request.number }}.x", limit: 3, teardown: [t, {run: u, once: true}]'
    const manifest = previewOf('env: {RAILS_ENV: production, KEPT: 1}\nprepare: p\nactivate: a\ncleanup: c', more)
    expect(manifest).toMatchObject({
      shell: 'sh',
      env: { RAILS_ENV: 'staging', KEPT: '1', MORE: '1' },
      secrets: ['KEY'],
      url: 'https://${{ pull_request.number }}.x',
      prepare: [],
      activate: [{ run: 'x' }],
      cleanup: [{ run: 'c' }],
      preview: { limit: 3, teardown: [{ run: 't' }, { run: 'u', once: true }] },
    })
  })

  it('runs no step that is for another environment, and is what steps see as theirs', () => {
    const text = `${base}environments: {production: {}}\nactivate: {run: a, environments: [production]}\npreviews: {${block}}`
    expect(preview(text)).toMatchObject({ environment: 'pr-7', environments: ['production'] })
    expect(preview(text, null)).toMatchObject({ environment: null, preview: { number: null } })
  })

  it('is read from the reference’s large example', () => {
    const manifest = preview(readFileSync('test/manifest/fixtures/large.yml', 'utf8'))
    expect(manifest).toMatchObject({ environment: 'pr-7', secrets: [], load_balancers: {}, migrate: undefined })
    expect(manifest.preview?.others.map(o => [o.environment, o.path])).toEqual([
      ['production', '/srv/storefront'],
      ['staging', '/srv/storefront'],
    ])
  })

  it('is read although an environment cannot be, and needs no servers of its own at the top', () => {
    const wrong = 'environments: {production: {rollout: {strategy: no}}, staging: {servers: [s1]}}'
    const text = `application: site\nssh: {user: deploy}\n${wrong}\npreviews: {${block}}`
    expect(preview(text).environment).toBe('pr-7')
    expect(() => readManifest({ file: 'deploy.yml', text, environment: 'production' })).toThrow(ManifestError)
  })

  it('is refused where there is none, or a number that is none', () => {
    expect(() => preview(base)).toThrow('has no block `previews`')
    for (const number of [0, -1, 1.5, 1e10, Number.NaN])
      expect(() => preview(`${base}previews: {${block}}`, number)).toThrow('is not the number of a pull request')
  })
})

describe('a preview that cannot be', () => {
  it.each([
    [
      'shared files',
      `${base}previews: {${block.replace('}"}', '}", shared: [log/, .env]}')}}`,
      'previews.release.shared: ".env" is a file',
    ],
    [
      'another environment’s host and user',
      `${base}previews: {${block.replace('d@p', 'deploy@web1')}}`,
      'previews log in to web1 as deploy',
    ],
    [
      'another environment’s host and user, written in another way',
      `${base}previews: {${block.replace('d@p', 'deploy@WEB1.')}}`,
      'previews log in to WEB1. as deploy',
    ],
    [
      'a role nobody has',
      `${base}previews: {${block}, activate: {run: x, roles: [nobody]}}`,
      'no server has the role "nobody"',
    ],
    [
      'a path in an environment’s',
      `${base}release: {path: /srv/previews}\npreviews: {${block}}`,
      'is, holds or lies in /srv/previews, the path of the manifest',
    ],
    [
      'a path that holds an environment’s',
      `${base}release: {path: /srv/previews/pr-1/x}\npreviews: {${block}}`,
      'is, holds or lies in /srv/previews/pr-1/x',
    ],
    [
      'a path that is an environment’s for another number',
      `${base}release: {path: /srv/previews/pr-42}\npreviews: {${block}}`,
      'is, holds or lies in /srv/previews/pr-42',
    ],
    [
      'an environment’s path by its variables',
      `${base}env: {S: previews}\nrelease: {path: "/srv/\${{ env.S }}"}\npreviews: {${block}}`,
      'the path of the manifest',
    ],
    [
      'a path of two levels',
      `${base}previews: {servers: [d@p], release: {path: "/srv/pr-\${{ pull_request.number }}"}}`,
      'less than 3 levels deep',
    ],
    ['a wrong key', `${base}previews: {${block}, activates: x}`, 'unknown key "activates" in previews'],
    ['a taken over step that is wrong', `${base}activate: {rum: x}\npreviews: {${block}}`, 'unknown key "rum"'],
  ])('with %s is refused by validate and by preview', (_, text, says) => {
    expect(refused(text).join('\n')).toContain(says)
    expect(problems(text.slice(base.length)).join('\n')).toContain(says)
  })
})

describe('a preview’s path', () => {
  it('ends in the number, whatever the number', () => {
    const parts = fc.array(fc.stringMatching(/^[a-z][a-z -]{0,8}$/), { minLength: 2, maxLength: 4 })
    fc.assert(
      fc.property(
        parts,
        fc.constantFrom('', 'pr-', 'shop.'),
        fc.integer({ min: 1, max: 999_999_999 }),
        (above, stem, number) => {
          const parent = `/${above.join('/')}`
          const found = previewPath(n => `${parent}/${stem}${n}`, number)
          expect(found).toEqual({ path: `${parent}/${stem}${number}`, parent, name: `${stem}${number}`, stem })
        },
      ),
    )
  })

  it.each([
    ['relative', (n: number) => `srv/previews/pr-${n}`],
    ['two levels deep', (n: number) => `/srv/pr-${n}`],
    ['with ".." in it', (n: number) => `/srv/previews/../pr-${n}`],
    ['with "." in it', (n: number) => `/srv/./previews/pr-${n}`],
    ['with "//" in it', (n: number) => `/srv//previews/pr-${n}`],
    ['with a line break', (n: number) => `/srv/pre\nviews/pr-${n}`],
    ['with more digits', (n: number) => `/srv/previews/1${n}`],
    ['the number in the middle', (n: number) => `/srv/previews/pr-${n}/site`],
    ['the number twice', (n: number) => `/srv/${n}/pr-${n}`],
    ['without the number', () => '/srv/previews/all'],
    ['another number', (n: number) => `/srv/previews/pr-${n + 1}`],
  ])('%s is none', (_, at) => {
    expect(() => previewPath(at, 7)).toThrow("the preview's path")
  })

  it('overlaps what is it, what it lies in and what it holds, by whole parts', () => {
    expect(overlap('/srv/a', '/srv/a')).toBe(true)
    expect(overlap('/srv/a/b', '/srv/a')).toBe(true)
    expect(overlap('/srv/a', '/srv/a/b')).toBe(true)
    expect(overlap('/srv/a', '/srv/ab')).toBe(false)
    expect(overlap('/srv/previews/pr-1', '/srv/previews/pr-12')).toBe(false)
  })

  it('meets what is that of any number, and nothing that only looks like it', () => {
    const place = previewPath(n => `/srv/previews/pr-${n}`, 7)
    for (const other of [
      '/srv',
      '/srv/previews',
      '/srv/previews/pr-7/x',
      '/srv/previews/pr-42',
      '/srv/previews/pr-42/x',
    ])
      expect([other, meetsAny(place, other)]).toEqual([other, true])
    for (const other of [
      '/srv/previews/pr-',
      '/srv/previews/pr-x',
      '/srv/previews/pr-042',
      '/srv/previews/pr-4x',
      '/srv/pr-4',
    ])
      expect([other, meetsAny(place, other)]).toEqual([other, false])
  })
})
