import Glibc
public import ModelFiles
import TensorCore

/// What a pruned matrix takes at least: the entropy of which weights are there, and that of those weights.
///
/// Frequencies of bytes alone, as a store can use that knows nothing else: for the mask those of 1, 4 or 8 neighbours' bits, whichever
/// are fewest; for the values those of each byte's place.
public struct SparseEntropy: Sendable, Equatable {
  /// All weights.
  public var weights = 0
  /// The weights that are not zero.
  public var kept = 0
  /// The mask, in bytes.
  public var maskBytes = 0.0
  /// The values and their scales, in bytes.
  public var valueBytes = 0.0
  /// All of it, in bytes.
  public var bytes: Double { maskBytes + valueBytes }

  /// Nothing.
  public init() {}

  /// That of a stored sparse matrix, as a file has it; nil for any other tensor, a dense one in the same form among them.
  public init?(blob tensor: StoredTensor) throws {
    guard tensor.name.hasSuffix("." + SparseBlob.ending), let places = try SparseBlob.places(of: tensor),
      !places.isDense
    else { return nil }
    let blob = try tensor.bytes.load()
    let bytes = blob.buffer
    weights = places.rows * places.columns
    maskBytes = SparseEntropy.mask(bytes, places)
    kept = bytes[places.mask..<places.scales].reduce(0) { $0 + $1.nonzeroBitCount }
    for plane in 0..<2 {
      let start = places.scales + plane * places.scaleCount
      valueBytes += SparseEntropy.bits(bytes[start..<start + places.scaleCount]) / 8
    }
    for plane in 0..<places.width {
      let start = places.values + plane * places.room
      valueBytes += SparseEntropy.bits(bytes[start..<start + min(kept, places.room)]) / 8
    }
  }

  /// The sum over several matrices.
  public static func += (sum: inout SparseEntropy, other: SparseEntropy) {
    sum.weights += other.weights
    sum.kept += other.kept
    sum.maskBytes += other.maskBytes
    sum.valueBytes += other.valueBytes
  }

  private static func mask(_ bytes: UnsafeRawBufferPointer, _ places: SparseBlob.Places) -> Double {
    var counts = [
      [Int](repeating: 0, count: 2), [Int](repeating: 0, count: 16), [Int](repeating: 0, count: 256),
    ]
    var set = 0
    for place in places.mask..<places.scales {
      let byte = Int(bytes[place])
      counts[2][byte] += 1
      counts[1][byte & 15] += 1
      counts[1][byte >> 4] += 1
      set += byte.nonzeroBitCount
    }
    // Bits behind a row's end say nothing.
    counts[0] = [places.rows * places.columns - set, set]
    return counts.map { bits(ofCounts: $0) / 8 }.min() ?? 0
  }

  private static func bits(_ bytes: Slice<UnsafeRawBufferPointer>) -> Double {
    var counts = [Int](repeating: 0, count: 256)
    for byte in bytes { counts[Int(byte)] += 1 }
    return bits(ofCounts: counts)
  }

  /// Σ −n log2(n / N).
  static func bits(ofCounts counts: [Int]) -> Double {
    let total = Double(counts.reduce(0, +))
    return counts.reduce(0.0) { $1 == 0 ? $0 : $0 - Double($1) * log2(Double($1) / total) }
  }
}
