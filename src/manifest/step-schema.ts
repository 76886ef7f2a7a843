/** The keys of a step and of the migration. */
import { z } from 'zod'
import { type NameGroup, perServer } from './lookup-names.ts'
import { bool, duration, integer, key, names, oneOrMany, orJust, text, timeLimit, workspacePath } from './values.ts'

const strict = z.strictObject

export const shells = ['bash', 'sh', 'bash -l'] as const

/** Roles that select something. */
export const roleList = (what: string) =>
  key(names(), { description: `Roles that ${what}; none named: all.`, example: ['web'] })

/** Variables: a value, or null for "from the action step's own environment". */
export const variables = (lookups: readonly NameGroup[] = perServer) =>
  z.record(
    text().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'a variable is named with letters, digits and "_"'),
    key(z.string({ error: 'a text is expected' }).nullable(), {
      description: "A value; without one, the variable of the action step's env.",
      lookups,
    }),
  )

export const retry = () =>
  z.union([
    integer(1, 100).transform(attempts => ({ attempts, delay: 1 })),
    strict({
      attempts: key(integer(1, 100), { description: 'How often the step is tried in all.', example: 3 }),
      delay: key(duration().prefault('1s'), {
        description: 'Wait before the second try; doubles after that, with jitter.',
      }),
    }),
  ])

export const stepKeys = {
  run: key(text(), {
    description: 'The script. A non-zero exit fails the step. Never interpolated: it reads environment variables.',
    example: 'sudo systemctl restart app',
    script: true,
  }),
  name: key(text().optional(), { description: "Shown everywhere; default: the script's first line." }),
  roles: roleList('the step runs on'),
  servers: key(names(), {
    description: 'Servers the step runs on, by name or glob; none named: all.',
    example: ['web1'],
  }),
  environments: key(names(), {
    description: 'Environments the step runs in; none named: all.',
    example: ['production'],
  }),
  once: key(bool().prefault('false'), { description: 'On the first of those servers only.' }),
  with_previous: key(bool().prefault('false'), { description: 'Starts together with the step before it.' }),
  env: key(variables().prefault({}), {
    description: 'Variables for this step alone.',
    example: { RAILS_ENV: 'production' },
  }),
  shell: key(z.enum(shells).optional(), { description: 'Another shell than the manifest names.' }),
  working_directory: key(text().optional(), {
    description: "Where the script starts; default: the release directory, without `release` the user's home.",
    lookups: perServer,
  }),
  become: key(
    text()
      .regex(/^[a-z_][a-z0-9_-]*\$?$/i, 'a user name is expected')
      .optional(),
    { description: 'Another user, by `sudo -n -u`; needs NOPASSWD.', example: 'app' },
  ),
  timeout: key(timeLimit().prefault('30m'), {
    description: 'After this the remote process group is ended and the step has failed.',
  }),
  retry: key(retry().optional(), {
    description: 'Tries in all, or {attempts, delay}; the delay doubles, with jitter.',
    example: 3,
  }),
  continue_on_error: key(bool().prefault('false'), { description: 'A failure is reported and does not count.' }),
}

const firstLine = (script: string) => script.trim().split('\n')[0]?.slice(0, 80) ?? ''

/** A step; it may be written as just its script. */
export const step = () =>
  orJust(
    'run',
    strict(stepKeys).transform(s => ({ ...s, name: s.name ?? firstLine(s.run) })),
  ).meta({ part: 'step' })
export const steps = () => oneOrMany(step())

/** Taking away could only mean a migration that is not run. */
const changedPath = () => workspacePath().refine(path => !path.startsWith('!'), 'a path without "!" is expected')

export const migrate = () =>
  orJust(
    'run',
    strict({
      run: stepKeys.run,
      name: stepKeys.name,
      roles: key(names(), {
        description: 'The migration runs on the first server with one of these; default: the first server.',
        example: ['db'],
      }),
      paths: key(oneOrMany(changedPath()), {
        description:
          'Directories, files or globs. If named: enabled only when these changed since the deployed commit.',
        example: ['db/migrate/'],
      }),
      env: stepKeys.env,
      shell: stepKeys.shell,
      working_directory: stepKeys.working_directory,
      become: stepKeys.become,
      timeout: key(timeLimit().prefault('1h'), { description: 'How long the migration may take.' }),
    }).transform(m => ({ ...m, name: m.name ?? firstLine(m.run) })),
  )
