/** Headers of a GNU tar (GNU tar manual, "Basic Tar Format"): what GNU tar, BusyBox and bsdtar unpack alike, names of any length. */

const block = 512

export interface TarMember {
  readonly path: string
  readonly kind: 'directory' | 'file' | 'link'
  readonly mode: number
  /** Bytes that follow; 0 but for files. */
  readonly size: number
  /** Seconds since 1970. */
  readonly mtime: number
  readonly target: string
}

const types = { directory: '5', file: '0', link: '2' } as const

/** Zeros up to the next whole block. */
export const padding = (size: number): Buffer => Buffer.alloc((block - (size % block)) % block)

/** What ends an archive. */
export const tarEnd = Buffer.alloc(2 * block)

/** Octal, or, from 8 GiB on, the GNU form: big-endian with the first bit set. */
function number(header: Buffer, value: number, at: number, length: number): void {
  const octal = value.toString(8)
  if (octal.length < length) {
    header.write(octal.padStart(length - 1, '0'), at, 'latin1')
    return
  }
  header[at] = 0x80
  header.writeBigUInt64BE(BigInt(value), at + length - 8)
}

function plainHeader(name: Buffer, target: Buffer, type: string, mode: number, size: number, mtime: number): Buffer {
  const header = Buffer.alloc(block)
  name.copy(header, 0, 0, 100)
  number(header, mode, 100, 8)
  number(header, 0, 108, 8)
  number(header, 0, 116, 8)
  number(header, size, 124, 12)
  number(header, Math.max(0, mtime), 136, 12)
  header.write('        ', 148, 'latin1')
  header.write(type, 156, 'latin1')
  target.copy(header, 157, 0, 100)
  header.write('ustar  \0', 257, 'latin1')
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return header
}

/** A name that is longer than its field travels before it, as the content of a member of its own. */
function long(text: Buffer, type: 'L' | 'K'): readonly Buffer[] {
  if (text.length <= 100) return []
  const content = Buffer.concat([text, Buffer.alloc(1)])
  return [
    plainHeader(Buffer.from('././@LongLink'), Buffer.alloc(0), type, 0o644, content.length, 0),
    content,
    padding(content.length),
  ]
}

export function tarHeader(member: TarMember): Buffer {
  const name = Buffer.from(member.kind === 'directory' ? `${member.path}/` : member.path)
  const target = Buffer.from(member.target)
  return Buffer.concat([
    ...long(target, 'K'),
    ...long(name, 'L'),
    plainHeader(name, target, types[member.kind], member.mode, member.size, member.mtime),
  ])
}
