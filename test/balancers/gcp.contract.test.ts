import { keepsTheContract } from './contract.ts'
import { subject } from './gcp-fixture.ts'

keepsTheContract('gcp with an instance group, a fake of it', () => subject('instance group'))
keepsTheContract('gcp with a network endpoint group, a fake of it', () => subject('network endpoint group'))
