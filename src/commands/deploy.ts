/** `deploy`: everything that can be checked first, then the rollout. */
import type { Result } from '../report/events.ts'
import { carryOut, nothingSelected } from './carry-out.ts'
import { checkVariables } from './check-variables.ts'
import type { Context } from './context.ts'
import { planOf } from './equipment.ts'
import { selectionOf } from './shard.ts'
import { materialOf, migratorOf, packageOf, withScratch } from './site.ts'

export async function deploy(c: Context): Promise<Result> {
  const { request, manifest, emit, cancel } = c
  const selection = selectionOf(request, manifest)
  if (nothingSelected(c, selection.all)) return 'success'
  checkVariables(manifest, request, selection.own)
  return withScratch(request.temp, async scratch => {
    const material = await materialOf(request, manifest, scratch, emit, cancel)
    return carryOut(c, {
      selection,
      material,
      build: material.contentId,
      alsoRead: migratorOf(manifest),
      async prepare(opened) {
        const plan = await planOf(c, material, opened)
        const packed = await packageOf(material, scratch, opened.sessions, cancel)
        return { plan, contentId: material.contentId, packed }
      },
    })
  })
}
