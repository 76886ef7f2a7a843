import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { InputError, ManifestError } from '../../src/errors.ts'
import { readManifest } from '../../src/manifest/read.ts'
import { base, problems, problemsIn, readAll } from './reading.ts'

const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8')
const one = (text: string, environment: string | null) => readManifest({ file: 'deploy.yml', text, environment })
const refusal = (text: string, environment: string | null): unknown => {
  try {
    return one(text, environment)
  } catch (error) {
    return error
  }
}

describe('the examples of the reference', () => {
  it('the small one is read', () => {
    const manifest = one(fixture('small.yml'), null)
    expect(manifest).toMatchObject({
      file: 'deploy.yml',
      environment: null,
      environments: [],
      application: 'site',
      web_server: 'other',
      shell: 'bash',
      servers: [{ name: '203.0.113.10', user: 'deploy', port: 22 }],
      release: { path: '/srv/site', source: 'dist', keep: 5 },
      activate: [{ run: 'sudo systemctl reload nginx', name: 'sudo systemctl reload nginx', timeout: 1800 }],
      rollout: { max_parallelism: 10, min_in_service: { count: 1 } },
    })
    expect([...manifest.written].sort()).toEqual([
      'activate',
      'application',
      'release',
      'release.path',
      'release.source',
      'servers',
      'ssh',
      'ssh.known_hosts',
      'ssh.user',
    ])
  })
  it('the large one has nothing wrong', () => {
    expect(problemsIn(fixture('large.yml'))).toEqual([])
  })
  it('the large one without that is read for each of its environments', () => {
    const text = fixture('large.yml')
      .replace(/^ {2}(strategy: rolling|batch|hold).*\n/gm, '')
      .replace('strategy: rolling', 'strategy: serial')
      .replace(/^previews:[\s\S]*/m, '')
    const [production, staging] = readAll(text)
    expect(production).toMatchObject({ environment: 'production', url: 'https://storefront.example.com' })
    expect(production?.servers).toHaveLength(21)
    expect(production?.servers[20]).toMatchObject({
      name: 'web20',
      host: '10.0.0.30',
      user: 'deploy',
      env: { PORT: '3000' },
      bastions: [{ user: 'jump', host: 'bastion.example.com', port: 22 }],
    })
    expect(production?.load_balancers['edge']).toMatchObject({
      provider: 'haproxy',
      hosts: [{ host: '10.0.0.2' }, { host: '10.0.0.3' }],
    })
    expect(production?.env).toEqual({ RAILS_ENV: 'production', IMAGE: null })
    expect(production?.verify[0]?.http?.expect).toMatchObject({
      status: [{ from: 200, to: 299 }],
      header: { 'x-release': '${{ release.id }}' },
      body: 'ok',
    })
    expect(staging).toMatchObject({ environment: 'staging', load_balancers: {}, servers: [{ name: 'stage1' }] })
    expect(staging?.url).toBeUndefined()
  })
})

describe('the environment', () => {
  const text = `${base}environments:\n  production: {url: "https://x"}\n  staging: {shell: zsh}\n  empty:\n`
  it('must be named once there are some', () => {
    const error = refusal(text, null)
    expect(error).toBeInstanceOf(InputError)
    expect(error).toMatchObject({
      message: 'deploy.yml has environments, and none was named',
      hint: 'give the input environment: production, staging, empty',
    })
  })
  it('must be a known one', () => {
    expect(refusal(text, 'prodution')).toMatchObject({
      message: 'deploy.yml has no environment "prodution"',
      hint: 'did you mean "production"? known: production, staging, empty',
    })
    expect(refusal(base, 'x')).toMatchObject({
      hint: 'the manifest has no `environments`: leave the input environment empty',
    })
  })
  it('is read without regard to mistakes in another one', () => {
    expect(one(text, 'production')).toMatchObject({
      environment: 'production',
      environments: ['production', 'staging', 'empty'],
      url: 'https://x',
    })
    expect(refusal(text, 'staging')).toBeInstanceOf(ManifestError)
    expect(one(text, 'empty').url).toBeUndefined()
  })
  it('with a mistake is named when all are read and others do not have it', () => {
    expect(problemsIn(text)).toEqual([
      '6:20 shell: one of bash, sh, bash -l is expected, not "zsh" (in staging) → did you mean "sh"? known: bash, sh, bash -l',
    ])
    expect(problemsIn(`${base}shell: zsh\nenvironments: {a: {}, b: {}}`)).toHaveLength(1)
    expect(problemsIn(`${base}shell: zsh\nenvironments: {a: {}, b: {}}`)[0]).not.toContain('(in')
  })
  it('says in `written` what stands in the file', () => {
    const written = one(
      `${base}rollout: {max_parallelism: 3}\nenvironments: {p: {rollout: {max_parallelism: null, on_failure: stop}}}`,
      'p',
    ).written
    expect(written.has('rollout.on_failure')).toBe(true)
    expect(written.has('rollout.max_parallelism')).toBe(false)
    expect(written.has('shell')).toBe(false)
  })
  it.each([
    ['environments:', '4:1 environments: a map of names is expected → for example: environments: {production: {}}'],
    ['environments: [a]', '4:1 environments: a map of names is expected → for example: environments: {production: {}}'],
    ['environments: {}', '4:1 environments: a map of names is expected → for example: environments: {production: {}}'],
    [
      'environments: {"a b": {}}',
      '4:16 environments.a b: letters, digits, ".", "_" and "-" are expected, at most 63 → choose another name',
    ],
    [
      'environments: {a: x}',
      '4:19 environments.a: a map of keys and values is expected → for example: url: https://example.com',
    ],
    [
      'environments: {a: {environments: {}}}',
      '4:20 environments cannot stand in an environment → put it at the top of the manifest',
    ],
    [
      'environments: {a: {previews: {}}}',
      '4:20 previews cannot stand in an environment → put it at the top of the manifest',
    ],
    [
      'environments: {a: {application: x}}',
      '4:20 application cannot stand in an environment → put it at the top of the manifest',
    ],
    [
      'environment: {a: {}}',
      '4:1 unknown key "environment" → did you mean "environments"? known: application, web_server, shell, ssh, servers, release, env, secrets, prepare, migrate, activate, verify, finalize, cleanup, rollout, load_balancers, url, previews, environments',
    ],
  ])('block is checked: %s', (more, expected) => expect(problems(more)).toEqual([expected]))
})

describe('between keys', () => {
  it('a role that no server has in any environment is a mistake', () => {
    const uses =
      'prepare: {run: x, roles: [wb]}\nmigrate: {run: x, roles: wb}\nverify: {command: x, roles: wb}\nrollout: {groups: {roles: wb}}\nload_balancers: {e: {provider: haproxy, backends: b, hosts: h, roles: wb}}'
    expect(problems(uses)).toEqual([
      '4:27 prepare[0].roles[0]: no server has the role "wb" in any environment → did you mean "web"? known: web',
      '5:26 migrate.roles[0]: no server has the role "wb" in any environment → did you mean "web"? known: web',
      '6:29 verify[0].roles[0]: no server has the role "wb" in any environment → did you mean "web"? known: web',
      '7:27 rollout.groups[0].roles[0]: no server has the role "wb" in any environment → did you mean "web"? known: web',
      '8:71 load_balancers.e.roles[0]: no server has the role "wb" in any environment → did you mean "web"? known: web',
    ])
    expect(
      problems('prepare: {run: x, roles: db}\nenvironments: {a: {}, b: {servers: [{host: h, roles: db}]}}'),
    ).toEqual([])
  })
  it('servers and environments of steps exist', () => {
    expect(
      problems(
        'prepare: [{run: x, servers: ["web*", web1, web9], environments: [prod]}]\nenvironments: {production: {}}',
      ),
    ).toEqual([
      '4:44 prepare[0].servers[2]: no server is called "web9" → did you mean "web1"? known: web1',
      '4:66 prepare[0].environments[0]: there is no environment "prod" → known: production',
    ])
    expect(problems('prepare: {run: x, environments: a}')).toEqual([
      '4:33 prepare[0].environments[0]: there is no environment "a" → the manifest has no `environments`',
    ])
  })
  it('a first step starts with no previous one', () =>
    expect(problems('finalize: [{run: x, with_previous: true}]')).toContain(
      '4:21 finalize[0].with_previous: there is no step before the first one → remove it, or put a step before it',
    ))
  it.each(['DEPLOY_X', 'GITHUB_TOKEN', 'RUNNER_TEMP', 'ACTIONS_X', 'INPUT_X', 'github_x'])(
    '%s is not free for variables',
    name => {
      const taken = `${name} is not free: names with DEPLOY_, GITHUB_, RUNNER_, ACTIONS_ and INPUT_ are set by others`
      expect(problems(`env: {${name}: 1}`)).toEqual([`4:7 env.${name}: ${taken} → choose another name`])
      expect(problems(`secrets: [${name}]`)).toEqual([`4:11 secrets[0]: ${taken} → choose another name`])
      expect(problems(`activate: {run: x, env: {${name}: 1}}`)).toEqual([
        `4:26 activate[0].env.${name}: ${taken} → choose another name`,
      ])
      expect(problems(`migrate: {run: x, env: {${name}: 1}}`)).toEqual([
        `4:25 migrate.env.${name}: ${taken} → choose another name`,
      ])
      expect(problemsIn(`application: a\nservers: [{host: d@h, env: {${name}: 1}}]`)).toEqual([
        `2:29 servers[0].env.${name}: ${taken} → choose another name`,
      ])
    },
  )
  it('a secret is not also a variable, and is named once', () => {
    const twice = 'a secret has the same name and would win → keep it in one of env and secrets'
    expect(problems('secrets: [A, B, A]\nenv: {A: 1}\nactivate: {run: x, env: {B: 1}}')).toEqual([
      '4:17 secrets[2]: A is named twice → remove one',
      `5:7 env.A: ${twice}`,
      `6:26 activate[0].env.B: ${twice}`,
    ])
  })
  it.each([
    ['../dist', 'a path inside the workspace is expected, without ".."'],
    ['a/../../b', 'a path inside the workspace is expected, without ".."'],
    ['/dist', 'a path inside the workspace is expected, not an absolute one'],
    ['~/dist', 'a path inside the workspace is expected, not one in a home directory'],
    ['.git', '.git is never deployed or read'],
    ['a/.GIT/b', '.git is never deployed or read'],
  ])('release.source stays inside the workspace: %s', (source, why) => {
    expect(problems(`release: {path: /srv/x, source: ${source}}`)).toEqual([
      `4:33 release.source: ${why}, not "${source}" → for example: source: dist`,
    ])
    expect(problems(`migrate: {run: x, paths: [${source}]}`)[0]).toContain(`migrate.paths[0]: ${why}`)
    expect(problemsIn(`application: a\nssh: {user: d, known_hosts: ${source}}\nservers: [h]`)[0]).toContain(
      `ssh.known_hosts: ${why}`,
    )
  })
  it.each(['.', 'dist', 'build/out.tar.zst', '.github', 'a..b'])('release.source may be %s', source =>
    expect(problems(`release: {path: /srv/x, source: ${source}}`)).toEqual([]),
  )
  it.each([
    ['srv/x', 'an absolute path is expected'],
    ['/', 'a directory of its own is expected, not one of the system'],
    ['//', 'a directory of its own is expected, not one of the system'],
    ['/etc', 'a directory of its own is expected, not one of the system'],
    ['/srv/', 'a directory of its own is expected, not one of the system'],
    ['/srv/../x', 'a path without "//", "." and ".." is expected'],
    ['/srv//x', 'a path without "//", "." and ".." is expected'],
    ['/srv/./x', 'a path without "//", "." and ".." is expected'],
  ])('release.path is a directory of its own: %s', (path, why) =>
    expect(problems(`release: {path: ${path}}`)).toEqual([
      `4:17 release.path: ${why}, not "${path}" → for example: path: /srv/storefront`,
    ]),
  )
  it('release.path loses a "/" at its end', () =>
    expect(readAll(`${base}release: {path: /srv/x/}`)[0]?.release?.path).toBe('/srv/x'))
  it('nothing is taken away from migrate.paths: it would be a migration that silently does not run', () =>
    expect(problems("migrate: {run: x, paths: ['db/**', '!db/seeds']}")[0]).toContain(
      'migrate.paths[1]: a path without "!" is expected',
    ))
  it.each(['/log', '../x', 'a/./b', 'a//b'])('shared paths lie inside the release: %s', path =>
    expect(problems(`release: {path: /srv/x, shared: ["${path}"]}`)).toEqual([
      `4:34 release.shared[0]: a path inside the release is expected, without "//", "." and "..", not "${path}" → for example: shared: ["log/",".env"]`,
    ]),
  )
  it('shared paths do not lie in each other', () =>
    expect(problems('release: {path: /srv/x, shared: [log/, log, a/b, a]}')).toEqual([
      '4:40 release.shared[1]: "log" and "log/" are the same or lie inside each other → keep the outer one',
      '4:50 release.shared[3]: "a" and "a/b" are the same or lie inside each other → keep the outer one',
    ]))
  it('a role is in one group', () =>
    expect(problems('rollout: {groups: [{roles: web}, {roles: [web]}]}')).toEqual([
      '4:43 rollout.groups[1].roles[0]: the role "web" is in an earlier group → a role is in one group',
    ]))
})

describe('previews', () => {
  const preview = (more: string) => problems(`previews: {${more}}`)
  const path = 'release: {path: "/srv/p/${{ pull_request.number }}"}'
  it('need servers and a path that ends in the number', () => {
    expect(preview('limit: 3').map(p => p.split(' → ')[0])).toEqual([
      '4:1 "servers" is missing in previews',
      '4:1 "release" is missing in previews',
    ])
    expect(preview('servers: [d@p], release: {path: /srv/p}')).toEqual([
      '4:44 previews.release.path: a path that ends in ${{ pull_request.number }} is expected, not "/srv/p" → for example: path: /srv/previews/pr-${{ pull_request.number }}',
    ])
    expect(preview(`servers: [d@p], ${path}, url: "https://\${{ pull_request.number }}.x"`)).toEqual([])
  })
  it('look up their own variables, which nothing else can', () => {
    expect(preview(`servers: [d@p], ${path}, env: {A: 1}, url: "https://\${{ env.A }}"`)).toEqual([])
    expect(problems(`url: "\${{ env.A }}"\npreviews: {servers: [d@p], ${path}, env: {A: 1}}`)[0]).toContain(
      '`env` has no such variable',
    )
  })
  it('use no host and user of an environment', () =>
    expect(preview(`servers: [deploy@web1], ${path}`)).toEqual([
      '4:12 previews.servers: previews log in to web1 as deploy, and so does the manifest → give previews a user or a host of their own',
    ]))
  it('use no host and user of another environment’s either', () =>
    expect(
      problems(
        `previews: {servers: [deploy@s1], ${path}}\nenvironments: {production: {}, staging: {servers: [s1]}}`,
      ).join(),
    ).toContain('previews log in to s1 as deploy, and so does staging'))
  it('take over nothing that belongs to environments', () =>
    expect(preview(`servers: [d@p], ${path}, migrate: x, load_balancers: {}`).map(p => p.split(' → ')[0])).toEqual([
      '4:82 unknown key "migrate" in previews',
      '4:94 unknown key "load_balancers" in previews',
    ]))
  it('without a list of steps are told from those with an empty one', () => {
    expect(
      preview(`servers: [d@p], ${path}, activate: [], teardown: {run: x, roles: [nobody]}`).map(p => p.split(' → ')[0]),
    ).toEqual(['4:123 previews.teardown[0].roles[0]: no server has the role "nobody" in any environment'])
  })
})
