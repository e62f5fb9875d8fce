import CKernels
import TensorCore

/// 32 weights in 20 bytes: scale and minimum in half precision and 4-bit codes, x = d·q + m.
struct Q4_1: BlockGridCodec {
  var format: TensorFormat { .q4_1 }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      var m: UInt16 = 0
      ck_fit_affine(block.x, block.importance, 15, block.codes, &d, &m)
      block.store(d, at: 0)
      block.store(m, at: 2)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, low: 0, high: 15) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    scales[0] = half(at: block)
    offsets[0] = half(at: block + 2)
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    storeNibbles(codes, block + 4)
  }
}
