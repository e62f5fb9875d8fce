internal import ModelFiles
internal import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A matrix of normal random numbers in bf16, made when it is read; the numbers depend on its name and shape alone.
struct RandomWeights: Sendable {
  let name: String
  let rows: Int
  let columns: Int
  let deviation: Double

  /// The matrix as a tensor that nothing is stored for.
  var tensor: StoredTensor {
    StoredTensor(
      name: name, shape: [rows, columns], format: .bf16,
      bytes: TensorBytes(count: rows * columns * 2) { values() })
  }

  /// `count` ones in bf16.
  static func ones(_ count: Int) -> ByteRegion {
    ByteRegion((0..<count).flatMap { _ in [UInt8(0x80), 0x3F] })
  }

  /// All numbers: one random word gives four, as places in a table of the normal distribution's quantiles.
  private func values() -> ByteRegion {
    let table = RandomWeights.quantiles.map { RandomWeights.bf16(Float(Double($0) * deviation)) }
    let (count, pieceLength) = (rows * columns, 1 << 16)
    return ByteRegion(count: count * 2) { target in
      nonisolated(unsafe) let target = target
      table.withUnsafeBufferPointer { table in
        nonisolated(unsafe) let table = table
        Parallel.forEach((count + pieceLength - 1) / pieceLength) { piece in
          var generator = SeededGenerator(seed: seed &+ UInt64(piece) &* 0x9E37_79B9_7F4A_7C15)
          var word: UInt64 = 0
          for index in piece * pieceLength..<min(count, (piece + 1) * pieceLength) {
            if index & 3 == 0 { word = generator.next() }
            target.storeBytes(
              of: table[Int(word & 0xFFFF)].littleEndian, toByteOffset: index * 2, as: UInt16.self)
            word >>= 16
          }
        }
      }
    }
  }

  /// FNV-1a of the name.
  private var seed: UInt64 {
    name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  /// To nearest, halves to even; the number is finite.
  private static func bf16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
  }

  /// The quantiles (i + ½) / 65536 of the standard normal distribution, from Φ by Newton's method.
  private static let quantiles: [Float] = {
    let half = 1 << 15
    var upper: [Double] = []
    upper.reserveCapacity(half)
    var x = 0.0
    for index in 0..<half {
      // Solves ½ erfc(−x/√2) = p, starting from the neighbour below.
      let tail = (Double(half - index) - 0.5) / 65_536  // 1 − p
      for _ in 0..<4 {
        let density = exp(-x * x / 2) * 0.398_942_280_401_432_7
        x += (0.5 * erfc(x * 0.5.squareRoot()) - tail) / density
      }
      upper.append(x)
    }
    return (upper.reversed().map { -$0 } + upper).map(Float.init)
  }()
}
