/**
 * What scripts left that were cut off at something no journal speaks of: a release half removed after the deployment was decided, a
 * journal that was not begun yet, a note of an upload. None of it counts for anything; here it goes.
 */
import { fenced } from './fence.ts'
import { places, removing } from './marks.ts'
import type { Owner } from './prelude.ts'
import type { Site } from './site.ts'

/**
 * For who holds the lock while no deployment of its own is under way. `lock.*` stays: others make theirs there at any
 * time. `member.*` is made anew by who misses it. */
export const sweepRemains = (site: Site, owner: Owner): string =>
  fenced(
    site,
    owner,
    `rm -f "$S/journal.new" "$S"/upload.*
rm -rf "$S"/member.* "$S"/gone.*
${site.releasePath === null ? '' : `${places(site)}${removing}\nrm -f "$M"/*.new\nsweep\n`}exit 0`,
  )
