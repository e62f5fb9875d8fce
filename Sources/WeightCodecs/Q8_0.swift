import CKernels
import TensorCore

/// 32 weights in 34 bytes: a half-precision scale and 8-bit codes, x = d·q.
///
/// The encoding is ggml's definition byte for byte; importance changes nothing.
struct Q8_0: BlockGridCodec {
  var format: TensorFormat { .q8_0 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      block.target.withMemoryRebound(to: Int8.self, capacity: 34) { ck_fit_q8_0(block.x, $0 + 2, &d) }
      block.store(d, at: 0)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, low: -127, high: 127) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    scales[0] = half(at: block)
    offsets[0] = 0
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    for j in 0..<32 { block[2 + j] = codes[j] &- 127 }
  }
}
