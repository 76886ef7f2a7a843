import { subject } from './caddy-fixture.ts'
import { keepsTheContract } from './contract.ts'

keepsTheContract('caddy 2.6 without health checks', () =>
  subject(
    {},
    {
      'in flight': 'before 2.11.2 Caddy forgets a removed upstream with what it still answers',
      unhealthy: 'this Caddy checks the health of nobody',
    },
  ),
)

keepsTheContract('caddy 2.11 without health checks', () =>
  subject({ program: 'newer' }, { unhealthy: 'this Caddy checks the health of nobody; see below for one that does' }),
)
