/**
 * Orders for the demo's balancer, as the manifest's `command` provider calls them:
 * `balancerctl.mjs remove|add|drained|serving SERVER`; `drained` and `serving` answer by exit code.
 */
const [verb, name] = process.argv.slice(2)
const writes = verb === 'remove' || verb === 'add'
const url = `${process.env.BALANCER_CONTROL}/${name}${writes ? `/${verb}` : ''}`
const answer = await fetch(url, { method: writes ? 'POST' : 'GET' })
if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`)
const member = await answer.json()
if (verb === 'drained') process.exitCode = !member.inRotation && member.inFlight === 0 ? 0 : 1
if (verb === 'serving') process.exitCode = member.inRotation && member.healthy ? 0 : 1
