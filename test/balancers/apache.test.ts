import { apacheSite } from './apache-fixture.ts'
import { keepsTheContract } from './contract.ts'

keepsTheContract('apache', () => apacheSite({ checked: true }))
