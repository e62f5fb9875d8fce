import CKernels
import TensorCore

/// 256 weights in 210 bytes: 16 groups of 16 with 8-bit scales, x = d·sc·(q − 32), 6-bit codes.
struct Q6_K: BlockGridCodec {
  var format: TensorFormat { .q6_k }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      block.target.withMemoryRebound(to: Int8.self, capacity: 210) {
        ck_fit_line_groups(block.x, block.importance, 16, -32, 31, 127, block.codes, $0 + 192, &d)
      }
      block.store(d, at: 208)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 16, low: -32, high: 31) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    let d = half(at: block + 208)
    for g in 0..<16 {
      scales[g] = d * Float(Int8(bitPattern: block[192 + g]))
      offsets[g] = 0
    }
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    for half in 0..<2 {
      let (codes, low, high) = (codes + 128 * half, block + 64 * half, block + 128 + 32 * half)
      for l in 0..<32 {
        let (a, b, c, e) = (codes[l], codes[l + 32], codes[l + 64], codes[l + 96])
        low[l] = (a & 15) | (c & 15) << 4
        low[l + 32] = (b & 15) | (e & 15) << 4
        high[l] = a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (e >> 4) << 6
      }
    }
  }
}
