import CKernels
import TensorCore

/// Groups of 32, 64 or 128 weights: a half-precision scale and 4-bit codes, x = d·(q − 8).
///
/// Stored as ``Q4_0`` with fewer scales: the scale, then for each 32 weights 16 bytes, code j in the low and code
/// j + 16 in the high half of byte j. So a group of 32 is a q4_0 block byte for byte.
struct Int4Group: BlockGridCodec {
  let format: TensorFormat

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    let group = format.blockSize
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * group) { scratch in
      encodeBlocks(row, importance, into: bytes, as: format) { block in
        var d: UInt16 = 0
        ck_fit_line_long(block.x, block.importance, group, -8, 7, scratch.baseAddress, block.codes, &d)
        block.store(d, at: 0)
        storeCodes(block.codes, intoBlock: block.target)
      }
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: format.blockSize, low: -8, high: 7) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    scales[0] = half(at: block)
    offsets[0] = 0
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    for part in 0..<format.blockSize / 32 { storeNibbles(codes + 32 * part, block + 2 + 16 * part) }
  }

  func decode(_ bytes: UnsafeRawBufferPointer, into row: UnsafeMutableBufferPointer<Float>) {
    precondition(format.byteCount(of: row.count) == bytes.count, "bytes do not match the row's length")
    let (group, size) = (format.blockSize, format.bytesPerBlock)
    for block in 0..<row.count / group {
      let source = block * size
      let scale = bytes.half(at: source)
      for part in 0..<group / 32 {
        let (codes, target) = (source + 2 + 16 * part, block * group + 32 * part)
        for j in 0..<16 {
          let byte = Int32(bytes[codes + j])
          row[target + j] = scale * Float((byte & 15) - 8)
          row[target + j + 16] = scale * Float((byte >> 4) - 8)
        }
      }
    }
  }
}
