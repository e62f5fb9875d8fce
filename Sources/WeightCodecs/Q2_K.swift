import CKernels
import TensorCore

/// 256 weights in 84 bytes: 16 groups of 16 with 4-bit scales and minimums, x = d·sc·q − dmin·m, 2-bit codes.
struct Q2_K: BlockGridCodec {
  var format: TensorFormat { .q2_k }

  func encode(
    _ row: UnsafeBufferPointer<Float>, importance: UnsafeBufferPointer<Float>?,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    encodeBlocks(row, importance, into: bytes, as: format) { block in
      var d: UInt16 = 0
      var dmin: UInt16 = 0
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { integers in
        guard let scales = integers.baseAddress else { return }
        ck_fit_affine_groups(
          block.x, block.importance, 16, 3, 15, block.codes, scales, scales + 16, &d, &dmin)
        for g in 0..<16 { block.target[g] = scales[g] | scales[g + 16] << 4 }
      }
      block.store(d, at: 80)
      block.store(dmin, at: 82)
      storeCodes(block.codes, intoBlock: block.target)
    }
  }

  var grid: CodeGrid { CodeGrid(groupLength: 16, low: 0, high: 3) }

  func readScales(
    ofBlock block: UnsafePointer<UInt8>, _ scales: UnsafeMutablePointer<Float>,
    _ offsets: UnsafeMutablePointer<Float>
  ) {
    let (d, dmin) = (half(at: block + 80), half(at: block + 82))
    for g in 0..<16 {
      scales[g] = d * Float(block[g] & 15)
      offsets[g] = -(dmin * Float(block[g] >> 4))
    }
  }

  func storeCodes(_ codes: UnsafePointer<UInt8>, intoBlock block: UnsafeMutablePointer<UInt8>) {
    storeQuarters(codes, block + 16)
  }
}
