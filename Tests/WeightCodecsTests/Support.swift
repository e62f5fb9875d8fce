import Foundation
import TensorCore
import TestSupport
import WeightCodecs

/// The formats that are searched for, with the largest relative squared error allowed on normal weights.
let searched: [(format: TensorFormat, bound: Double)] = [
  (.q4_0, 0.0073), (.q4_1, 0.0052), (.q5_0, 0.0018), (.q5_1, 0.00125), (.iq4_nl, 0.0060),
  (.q2_k, 0.075), (.q3_k, 0.0225), (.q4_k, 0.0052), (.q5_k, 0.00125), (.q6_k, 0.0003), (.iq4_xs, 0.0060),
  (.int4_g32, 0.0073), (.int4_g64, 0.0088), (.int4_g128, 0.0102),
]

/// The formats that can be written and quantize.
let quantized: [TensorFormat] = searched.map(\.format) + [.q8_0, .int8_channel, .w8a8, .uniform8, .uniform16]

/// The file of stored rows in a format; those of `w8a8` are `int8.channel`'s.
func fixtureName(_ format: TensorFormat, _ ending: String) -> String {
  "decode-\(format == .w8a8 ? TensorFormat.int8_channel.rawValue : format.rawValue).\(ending)"
}

/// Normal numbers from a seed.
func normal(_ count: Int, seed: UInt64, scale: Float = 1) -> [Float] {
  var generator = SeededGenerator(seed: seed)
  return (0..<count).map { _ in
    let (u, v) = (generator.uniform(), generator.uniform())
    return scale * Float((-2 * log(1 - u)).squareRoot() * cos(2 * .pi * v))
  }
}

/// Encodes one row and decodes it again.
func roundTrip(_ row: [Float], _ format: TensorFormat, importance: [Float]? = nil) throws -> [Float] {
  let matrix = Matrix(rows: 1, columns: row.count, elements: row)
  let bytes = try TensorCoding.encode(matrix, format: format, importance: importance)
  return try TensorCoding.decode(bytes, format: format, rows: 1, columns: row.count).elements
}

/// Σ w·(a − b)², by the definition.
func weightedError(_ a: [Float], _ b: [Float], _ weight: (Int) -> Double = { _ in 1 }) -> Double {
  var sum = 0.0
  for i in a.indices {
    let difference = Double(a[i]) - Double(b[i])
    sum += weight(i) * difference * difference
  }
  return sum
}

/// Σ x².
func energy(_ row: [Float]) -> Double { row.reduce(0) { $0 + Double($1) * Double($1) } }

/// A fixture's bytes.
func fixtureBytes(_ name: String) throws -> ByteRegion {
  ByteRegion([UInt8](try Data(contentsOf: URL(fileURLWithPath: fixture(name)))))
}

/// A fixture's floats.
func fixtureFloats(_ name: String) throws -> [Float] {
  let bytes = try fixtureBytes(name)
  return (0..<bytes.count / 4).map { bytes.base.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
}

/// The region's bytes as an array.
func array(_ region: ByteRegion) -> [UInt8] { [UInt8](region.buffer) }
