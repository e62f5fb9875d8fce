import TensorCore
import Testing

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Attention against the definition in double precision.
@Suite struct AttentionTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    var positions, group, keys, size, first: Int
    var isCausal = true
    var window: Int?
    var testDescription: String { "\(positions)×\(group) on \(keys) keys of \(size), window \(window ?? 0)" }
  }

  static let shapes = [
    Shape(positions: 1, group: 1, keys: 1, size: 1, first: 0),
    Shape(positions: 1, group: 4, keys: 37, size: 64, first: 36),
    Shape(positions: 1, group: 3, keys: 50, size: 80, first: 20),
    Shape(positions: 7, group: 1, keys: 7, size: 16, first: 0),
    Shape(positions: 5, group: 2, keys: 30, size: 33, first: 25),
    Shape(positions: 33, group: 1, keys: 33, size: 48, first: 0, window: 5),
    Shape(positions: 9, group: 3, keys: 40, size: 24, first: 31, window: 1),
    Shape(positions: 6, group: 1, keys: 11, size: 32, first: 0, isCausal: false),
  ]

  @Test(arguments: shapes, instructionSets)
  func matchesTheDefinition(shape: Shape, instructionSet: String) {
    var generator = SeededGenerator(seed: 21)
    let (rowStride, cacheStride) = (shape.group * shape.size + 3, shape.size + 5)
    let queries = generator.floats(shape.positions * rowStride)
    let keys = generator.floats(shape.keys * cacheStride), values = generator.floats(shape.keys * cacheStride)
    var results = [Float](repeating: 77, count: shape.positions * rowStride)
    withInstructionSet(instructionSet) {
      results.withUnsafeMutableBufferPointer { target in
        guard let base = target.baseAddress else { return }
        queries.withUnsafeBufferPointer { q in
          keys.withUnsafeBufferPointer { k in
            values.withUnsafeBufferPointer { v in
              guard let q = q.baseAddress, let k = k.baseAddress, let v = v.baseAddress else { return }
              Kernels.attention(
                AttentionTile(
                  queries: q, queryStride: rowStride, queryCount: shape.positions * shape.group,
                  group: shape.group, keys: k, values: v, cacheStride: cacheStride, keyCount: shape.keys,
                  headSize: shape.size, firstPosition: shape.first, isCausal: shape.isCausal,
                  window: shape.window, scale: 0.3, results: base, resultStride: rowStride))
            }
          }
        }
      }
    }
    for position in 0..<shape.positions {
      for head in 0..<shape.group {
        let start = position * rowStride + head * shape.size
        let expected = Self.naive(
          Array(queries[start..<start + shape.size]), keys, values, shape, cacheStride, position)
        let found = Array(results[start..<start + shape.size])
        #expect(KernelsTests.error(found, expected, floor: 0.1) < 1e-5)
      }
      for gap in shape.group * shape.size..<rowStride { #expect(results[position * rowStride + gap] == 77) }
    }
  }

  static func naive(
    _ q: [Float], _ keys: [Float], _ values: [Float], _ shape: Shape, _ stride: Int, _ position: Int
  ) -> [Double] {
    let own = shape.first + position
    let seen = (0..<shape.keys).filter { key in
      guard shape.isCausal else { return true }
      return key <= own && (shape.window.map { own - key < $0 } ?? true)
    }
    let scores = seen.map { key in
      0.3 * q.indices.reduce(0.0) { $0 + Double(q[$1]) * Double(keys[key * stride + $1]) }
    }
    let largest = scores.max() ?? 0
    let powers = scores.map { exp($0 - largest) }
    let sum = powers.reduce(0, +)
    return q.indices.map { c in
      zip(seen, powers).reduce(0.0) { $0 + $1.1 / sum * Double(values[$1.0 * stride + c]) }
    }
  }
}
