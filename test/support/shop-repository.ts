/** A site whose repository is as the ready workflows want it: an environment production, a build, and a remote of its own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Site } from './site.ts'
import { waitUntil } from './wait-until.ts'

type Keys = Readonly<Record<string, unknown>>

/** Writes and commits it. `npm run build` writes app/built; it fails where the file that BUILD_FAILS_WITH names is there. */
export function asShop(at: Site, keys: Keys = {}): void {
  at.manifest({ environments: { production: {} }, ...keys })
  const build = 'test ! -e "$BUILD_FAILS_WITH" && echo built > app/built'
  writeFileSync(join(at.workspace, 'package.json'), JSON.stringify({ name: 'shop', scripts: { build } }))
  writeFileSync(
    join(at.workspace, 'package-lock.json'),
    JSON.stringify({ name: 'shop', lockfileVersion: 3, packages: {} }),
  )
  writeFileSync(join(at.workspace, '.gitignore'), 'app/built\n')
  at.commit('the shop')
}

/** A first deployment to production, after which the balancer has every server up. */
export async function seedShop(at: Site): Promise<string> {
  const result = await at.deploy({ environment: 'production', strategy: 'parallel', migrate: 'false' })
  if (result.code !== 0) throw new Error(`the first deployment failed:\n${result.log}`)
  await waitUntil('every server is up', async () => (await rotations(at)).every(state => state === 'serving'))
  return result.outputs['release'] ?? ''
}

export const rotations = (at: Site): Promise<string[]> => Promise.all(at.servers.map(s => at.rotation(s.name)))
export const currents = (at: Site): (string | null)[] => at.servers.map(s => at.current(s.name))
