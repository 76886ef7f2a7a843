/** Paths of the manifest that lie in the workspace. */

/** Why a path is not one inside the workspace, as far as its text says; null: it is. */
export function outsideWorkspace(path: string): string | null {
  const parts = path.split(/[/\\]/)
  if (path.startsWith('/') || /^[A-Za-z]:/.test(path))
    return 'a path inside the workspace is expected, not an absolute one'
  if (path.startsWith('~')) return 'a path inside the workspace is expected, not one in a home directory'
  if (parts.includes('..')) return 'a path inside the workspace is expected, without ".."'
  if (parts.some(part => part.toLowerCase() === '.git')) return '.git is never deployed or read'
  if (/[\0-\x1f\x7f]/.test(path)) return 'a path without control characters is expected'
  return null
}
