import CKernels
public import TensorCore

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

  /// The exponent's bits of weights of 16 bits, which are all set in what is infinite or no number; nil for other formats.
  fileprivate var halfExponent: UInt16? {
    switch self {
    case .f16: 0x7C00
    case .bf16: 0x7F80
    default: nil
    }
  }
}

/// A look at the stored bits of a tensor that tells whether its weights are finite, a stretch of its bytes at a time: who reads
/// the bytes for something else can look while they are in the cache.
///
/// Weights of 16 bits show it in their exponents, blocks in their scales alone: the largest half is 65504 and no code times scale
/// exceeds 2¹⁶, so no product leaves the range of floats.
public struct FiniteBits: Sendable {
  private let exponent: UInt16
  /// The bytes from one number to the next, and where the numbers lie in them; nil for weights of 16 bits side by side.
  private let blocks: (width: Int, places: [Int])?

  /// For tensors in `format`; nil where stored bits do not tell.
  public init?(_ format: TensorFormat) {
    if let exponent = format.halfExponent {
      self.exponent = exponent
      blocks = nil
    } else if let places = format.halfScalePlaces, format.trailerBytesPerColumn == 0 {
      exponent = 0x7C00
      blocks = (format.bytesPerBlock, places)
    } else {
      return nil
    }
  }

  /// Whether the numbers that begin in `range` tell that their weights are finite; false says nothing.
  ///
  /// - Parameter bytes: all of a tensor, in which `range` lies; a number may end behind the range.
  public func areFinite(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
    guard let base = bytes.baseAddress else { return true }
    guard let blocks else {
      let (first, end) = ((range.lowerBound + 1) / 2 * 2, min(range.upperBound, bytes.count - 1))
      guard first < end else { return true }
      return ck_has_half_exponent(base + first, (end - first + 1) / 2, exponent) == 0
    }
    let end = min(range.upperBound, bytes.count - 1)
    var highest: UInt16 = 0
    for place in blocks.places {
      let behind = max(0, range.lowerBound - place)
      var next = (behind + blocks.width - 1) / blocks.width * blocks.width + place
      while next < end {
        let scale = base.loadUnaligned(fromByteOffset: next, as: UInt16.self)
        highest = max(highest, UInt16(littleEndian: scale) & exponent)
        next += blocks.width
      }
    }
    return highest != exponent
  }
}

extension StoredRows {
  /// Whether the stored bits tell that all weights are finite; false where they do not, which says nothing.
  func hasFiniteBits() -> Bool {
    guard let bits = FiniteBits(codec.format) else { return false }
    let pieces = RowPieces(rows: rows, columns: columns)
    let isFinite = Locked(true)
    Parallel.forEach(pieces.count) { piece in
      let range = pieces.range(piece)
      let place = range.lowerBound * bytesPerRow..<range.upperBound * bytesPerRow
      if !bits.areFinite(bytes.buffer, place) { isFinite.withLock { $0 = false } }
    }
    return isFinite.withLock { $0 }
  }
}
