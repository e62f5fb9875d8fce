import CKernels
import TensorCore

/// 32 weights in 22 bytes: a half-precision scale and 5-bit codes, x = d·(q − 16).
struct Q5_0: BlockGridCodec {
  var format: TensorFormat { .q5_0 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      ck_fit_line(block.x, block.importance, -16, 15, block.codes, &d)
      block.store(d, at: 0)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, low: -16, high: 15) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    scales[0] = half(at: block)
    offsets[0] = 0
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    storeFifthBits(codes, block + 2)
    storeNibbles(codes, block + 6)
  }
}
