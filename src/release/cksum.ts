/** The checksum of POSIX `cksum` (XCU cksum: CRC-32 by 0x04C11DB7, most significant bit first, the length appended). */

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1
  return crc >>> 0
})

const step = (crc: number, byte: number): number => ((crc << 8) ^ (table[(crc >>> 24) ^ byte] ?? 0)) >>> 0

/** `<crc> <bytes>`, as `cksum` prints it for its stdin. */
export function cksum(bytes: Uint8Array): string {
  let crc = 0
  for (const byte of bytes) crc = step(crc, byte)
  for (let length = bytes.length; length > 0; length = Math.floor(length / 256)) crc = step(crc, length % 256)
  return `${~crc >>> 0} ${bytes.length}`
}
