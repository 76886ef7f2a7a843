/** Which providers stand being written by several runners at once, as data: the reason of those that do not. */
import type { ProviderName } from '../manifest/balancer-schema.ts'

/** `null`: each write names one server, or is made against a version or under a lock of the balancer's host. */
export const refusedInFanOut: Readonly<Record<ProviderName, string | null>> = {
  // One server's state by its own command on the runtime socket.
  haproxy: null,
  // The file is written under flock, but between a write and the end of its reload nobody else can tell which lines are in force.
  nginx: "nginx cannot be read while another runner's reload is on its way",
  // The list goes with If-Match; 412 is read and written anew.
  caddy: null,
  // balancer-manager sets one member of a form.
  apache: null,
  'aws-target-group': null,
  'aws-classic': null,
  // Instances and endpoints are added and removed by name.
  gcp: null,
  // The pool goes with If-Match.
  azure: null,
  // Droplets, targets and nodes one by one.
  digitalocean: null,
  hetzner: null,
  linode: null,
  // PATCH of a pool replaces all its origins, and there is no version to write against (load-balancers.md, rule 7).
  cloudflare: "a pool's origins can only be written as a whole, so two runners would undo each other's changes",
  'health-file': null,
  // The person's own scripts.
  command: null,
}
