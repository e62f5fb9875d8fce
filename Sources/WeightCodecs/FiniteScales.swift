import CKernels
import TensorCore

extension TensorFormat {
  /// Where the half-precision scales of a block lie whose weights are whole numbers times these: finite scales, finite weights.
  /// Nil for other formats.
  var halfScalePlaces: [Int]? {
    switch self {
    case .q8_0, .q4_0, .q5_0, .iq4_nl, .iq4_xs: [0]
    case .q4_1, .q5_1, .q4_k, .q5_k: [0, 2]
    case .q2_k: [80, 82]
    case .q3_k: [108]
    case .q6_k: [208]
    default: nil
    }
  }
}

extension TensorFormat {
  /// The exponent's bits of weights of 16 bits, which are all set in what is infinite or no number; nil for other formats.
  fileprivate var halfExponent: UInt16? {
    switch self {
    case .f16: 0x7C00
    case .bf16: 0x7F80
    default: nil
    }
  }
}

extension StoredRows {
  /// Whether the stored bits tell that all weights are finite; false where they do not, which says nothing.
  func hasFiniteBits() -> Bool { hasFiniteHalves() || hasFiniteScales() }

  /// The same for weights of 16 bits.
  private func hasFiniteHalves() -> Bool {
    guard let exponent = codec.format.halfExponent else { return false }
    let pieces = RowPieces(rows: rows, columns: columns)
    let isFinite = Locked(true)
    Parallel.forEach(pieces.count) { piece in
      let range = pieces.range(piece)
      let start = bytes.base + range.lowerBound * bytesPerRow
      if ck_has_half_exponent(start, range.count * columns, exponent) != 0 {
        isFinite.withLock { $0 = false }
      }
    }
    return isFinite.withLock { $0 }
  }

  /// Whether scales alone tell that all weights are finite; false where they do not, which says nothing.
  ///
  /// The largest half is 65504 and no code times scale exceeds 2¹⁶, so no product leaves the range of floats.
  func hasFiniteScales() -> Bool {
    guard let places = codec.format.halfScalePlaces, codec.format.trailerBytesPerColumn == 0 else {
      return false
    }
    let (width, exponent) = (codec.format.bytesPerBlock, UInt16(0x7C00))
    let pieces = RowPieces(rows: rows, columns: columns)
    let isFinite = Locked(true)
    Parallel.forEach(pieces.count) { piece in
      let range = pieces.range(piece)
      var highest: UInt16 = 0
      for place in places {
        let end = bytes.base + range.upperBound * bytesPerRow
        var block = bytes.base + range.lowerBound * bytesPerRow + place
        while block < end {
          highest = max(highest, UInt16(littleEndian: block.loadUnaligned(as: UInt16.self)) & exponent)
          block += width
        }
      }
      if highest == exponent { isFinite.withLock { $0 = false } }
    }
    return isFinite.withLock { $0 }
  }
}
