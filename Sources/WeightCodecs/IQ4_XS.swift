import CKernels
import TensorCore

/// 256 weights in 136 bytes: 8 groups of 32 with 6-bit scales over IQ4_NL's table, x = d·(sc − 32)·T[q].
struct IQ4_XS: BlockGridCodec {
  var format: TensorFormat { .iq4_xs }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      withUnsafeTemporaryAllocation(of: Int8.self, capacity: 8) { scales in
        guard let scales = scales.baseAddress else { return }
        ck_fit_table_groups(block.x, block.importance, block.codes, scales, &d)
        var high: UInt16 = 0
        for g in 0..<4 { block.target[4 + g] = 0 }
        for g in 0..<8 {
          let code = UInt8(scales[g] + 32)
          block.target[4 + g / 2] |= (code & 15) << UInt8(4 * (g % 2))
          high |= UInt16(code >> 4) << UInt16(2 * g)
        }
        block.store(high, at: 2)
      }
      block.store(d, at: 0)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, table: iq4Levels) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    let d = half(at: block)
    let high = UInt16(block[2]) | UInt16(block[3]) << 8
    for g in 0..<8 {
      let low = block[4 + g / 2] >> UInt8(4 * (g % 2)) & 15
      scales[g] = d * Float(Int(low) + Int(high >> UInt16(2 * g) & 3) << 4 - 32)
      offsets[g] = 0
    }
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    for group in 0..<8 { storeNibbles(codes + 32 * group, block + 8 + 16 * group) }
  }
}
