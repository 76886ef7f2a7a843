import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { startSite } from './site.ts'
import { waitUntil } from './wait-until.ts'

it('a site: each server has files and an application of its own, behind one balancer', async () => {
  const site = await startSite({ servers: 2 })
  try {
    const key = join(site.temp, 'key')
    writeFileSync(key, site.balancerHost.privateKey, { mode: 0o600 })
    for (const server of site.servers) {
      const script = `set -eu
        mkdir -p ${site.releasePath}/releases && cp -R ${site.workspace}/app ${site.releasePath}/releases/r1
        ln -s releases/r1 ${site.releasePath}/current && cd ${site.releasePath}/current
        PORT=${server.appPort} DEPLOY_SERVER=${server.name} DEPLOY_RELEASE=r1 ./activate`
      const known = `UserKnownHostsFile=${site.workspace}/.github/known_hosts`
      const words = ['-F', 'none', '-o', known, '-i', key, '-p', String(server.sshd.port), '127.0.0.1', script]
      execFileSync('ssh', words, { stdio: ['ignore', 'pipe', 'pipe'] })
    }
    const names = new Set<string>()
    await waitUntil('both answer through the balancer', async () => {
      const response = await fetch(site.url)
      if (response.ok) names.add(response.headers.get('x-server') ?? '')
      return names.size === 2
    })
    expect(names).toEqual(new Set(['web1', 'web2']))
    expect([site.current('web1'), site.releases('web2')]).toEqual(['r1', ['r1']])
    expect(await site.rotation('web1')).toBe('serving')
    expect(site.footprint('web1')).not.toEqual(site.footprint('web2'))
  } finally {
    await site.stop()
  }
})
