import CKernels
import TensorCore

/// 32 weights in 18 bytes: a half-precision scale and 4-bit codes, x = d·(q − 8).
struct Q4_0: BlockGridCodec {
  var format: TensorFormat { .q4_0 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      ck_fit_line(block.x, block.importance, -8, 7, block.codes, &d)
      block.store(d, at: 0)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, low: -8, high: 7) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    scales[0] = half(at: block)
    offsets[0] = 0
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    storeNibbles(codes, block + 2)
  }
}
