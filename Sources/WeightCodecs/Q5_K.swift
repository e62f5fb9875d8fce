import CKernels
import TensorCore

/// 256 weights in 176 bytes: as Q4_K, with a fifth bit for each code.
struct Q5_K: BlockGridCodec {
  var format: TensorFormat { .q5_k }

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
          block.x, block.importance, 32, 31, 63, block.codes, scales, scales + 8, &d, &dmin)
        packSixBitPairs(scales: scales, minimums: scales + 8, into: block.target + 4)
      }
      block.store(d, at: 0)
      block.store(dmin, at: 2)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 32, low: 0, high: 31) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    readSixBitPairs(block, scales, offsets)
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    storeBit(4, of: codes, block + 16)
    storeHalves(codes, block + 48)
  }
}
