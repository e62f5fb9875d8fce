import CKernels
import TensorCore

/// 256 weights in 144 bytes: 8 groups of 32 with 6-bit scales and minimums, x = d·sc·q − dmin·m, 4-bit codes.
struct Q4_K: BlockGridCodec {
  var format: TensorFormat { .q4_k }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      var dmin: UInt16 = 0
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 16) { integers in
        guard let scales = integers.baseAddress else { return }
        ck_fit_affine_groups(
          block.x, block.importance, 32, 15, 63, block.codes, scales, scales + 8, &d, &dmin)
        packSixBitPairs(scales: scales, minimums: scales + 8, into: block.target + 4)
      }
      block.store(d, at: 0)
      block.store(dmin, at: 2)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, low: 0, high: 15) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    readSixBitPairs(block, scales, offsets)
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    storeHalves(codes, block + 16)
  }
}
