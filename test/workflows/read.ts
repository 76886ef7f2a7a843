/** The workflows that are promises to users, or guard this project, as text and as data. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'

export interface Step {
  readonly id?: string
  readonly if?: string
  readonly uses?: string
  readonly run?: string
  readonly with?: Readonly<Record<string, string>>
}
type Permissions = Readonly<Record<string, string>>
export interface Job {
  readonly uses?: string
  readonly steps?: readonly Step[]
  readonly permissions?: Permissions
  readonly environment?: string | { readonly name: string; readonly deployment?: boolean }
  readonly concurrency?: Concurrency
  readonly 'timeout-minutes'?: number
}
export interface Concurrency {
  readonly group: string
  readonly queue?: string
  readonly 'cancel-in-progress'?: boolean | string
}
interface Input {
  readonly type: string
  readonly options?: readonly string[]
  readonly default?: unknown
  readonly description?: string
}
export interface Workflow {
  readonly on: Readonly<Record<string, { readonly inputs?: Readonly<Record<string, Input>> } | null>>
  readonly permissions?: Permissions
  readonly concurrency?: Concurrency
  readonly jobs: Readonly<Record<string, Job>>
}

export const examples = readdirSync('examples/workflows').map(name => join('examples/workflows', name))
const own = readdirSync('.github/workflows').map(name => join('.github/workflows', name))
const beside = readdirSync('examples')
  .filter(name => name !== 'workflows')
  .flatMap(name =>
    readdirSync(join('examples', name))
      .filter(file => file === 'workflow.yml')
      .map(file => join('examples', name, file)),
  )
export const workflows = [...examples, ...beside, ...own]

export const textOf = (file: string): string => readFileSync(file, 'utf8')
export const read = (file: string): Workflow => parse(textOf(file)) as Workflow
export const stepsOf = (workflow: Workflow): readonly Step[] => Object.values(workflow.jobs).flatMap(j => j.steps ?? [])
export const ours = (uses: string | undefined): boolean => /^(\.\/$|org\/deploy-action@)/.test(uses ?? '')
