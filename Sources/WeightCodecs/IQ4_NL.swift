import CKernels
import TensorCore

/// 32 weights in 18 bytes: a half-precision scale and 4-bit indices into a fixed non-uniform table.
struct IQ4_NL: BlockGridCodec {
  var format: TensorFormat { .iq4_nl }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      ck_fit_table(block.x, block.importance, block.codes, &d)
      block.store(d, at: 0)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, table: iq4Levels) }

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
