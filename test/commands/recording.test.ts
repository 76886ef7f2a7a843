import { describe, expect, it } from 'vitest'
import { recordFactsOf } from '../../src/commands/recording.ts'
import { readRequest } from '../../src/inputs.ts'
import { readManifest } from '../../src/manifest/read.ts'

const sha = 'c0ffee0123456789c0ffee0123456789c0ffee01'

const manifestOf = (environment: string | null) =>
  readManifest({
    file: 'deploy.yml',
    environment,
    readFile: () => '',
    text: [
      'application: shop',
      'servers: [web1.example.com]',
      'ssh: {user: deploy}',
      'activate: "true"',
      ...(environment === null ? [] : [`environments: {${environment}: {}}`]),
    ].join('\n'),
  })

const factsOf = (inputs: Readonly<Record<string, string>>, environment: string | null = null) => {
  const env = Object.entries({ 'github-deployment': 'true', ...inputs }).map(([k, v]) => [
    `INPUT_${k.toUpperCase()}`,
    v,
  ])
  const request = readRequest({ GITHUB_SHA: sha, INPUT_SERVERS: 'all', ...Object.fromEntries(env) }, [], '/work')
  return recordFactsOf(request, manifestOf(environment))
}

describe('a run has a record', () => {
  it('when it deploys or goes back, and is asked for one', () => {
    expect(factsOf({})).toEqual({
      ...{ ref: sha, environment: 'shop', task: 'deploy', transient: false, production: false },
    })
    expect(factsOf({ command: 'rollback' })?.task).toBe('rollback')
  })
  it('of the manifest’s environment; production is that name and no other', () => {
    expect(factsOf({}, 'production')).toMatchObject({ environment: 'production', production: true })
    for (const name of ['prod', 'Production', 'production-eu'])
      expect(factsOf({}, name)).toMatchObject({ environment: name, production: false })
  })
  it('never when it changes nothing, is a shard, or is not asked', () => {
    for (const command of ['plan', 'validate', 'status', 'recover']) expect(factsOf({ command })).toBeNull()
    expect(factsOf({ shard: '1/8' })).toBeNull()
    expect(factsOf({ 'github-deployment': 'auto' })).toBeNull()
    expect(factsOf({ 'github-deployment': 'false' })).toBeNull()
  })
})
