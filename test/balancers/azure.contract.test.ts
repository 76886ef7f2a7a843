import { subject } from './azure-fixture.ts'
import { keepsTheContract } from './contract.ts'

keepsTheContract('azure, a fake of it', subject)
