import CKernels
import TensorCore
import Testing

/// Activations with one scale a token, and products with rows of integers, against their definition.
@Suite struct TokenScaleTests {
  /// Codes and scale by the definition: max|x| / 127, codes to nearest even of x · (127 / max|x|).
  static func quantized(_ x: [Float]) -> (codes: [Int], scale: Float) {
    let most = x.reduce(0) { max($0, abs($1)) }
    guard most > 0 else { return ([Int](repeating: 0, count: x.count), 0) }
    let inverse = 127 / most
    return (x.map { Int(($0 * inverse).rounded(.toNearestOrEven)) }, most / 127)
  }

  /// A record's codes, then the floats behind them.
  static func record(_ x: [Float]) -> (scale: Float, codes: [Int], floats: [Float]) {
    let bytes = ck_activation_bytes(x.count)
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
    defer { memory.deallocate() }
    let scale = ck_quantize_token(x, x.count, memory)
    let codes = (0..<x.count).map { Int(memory.load(fromByteOffset: $0, as: Int8.self)) }
    let floats = (0..<x.count / 8).map { memory.load(fromByteOffset: x.count + 4 * $0, as: Float.self) }
    return (scale, codes, floats)
  }

  @Test(arguments: instructionSets)
  func recordsFollowTheDefinition(instructionSet: String) {
    withInstructionSet(instructionSet) {
      for columns in [32, 64, 96, 288, 512] {
        var generator = SeededGenerator(seed: UInt64(columns))
        let x = generator.floats(columns)
        let (scale, codes, floats) = Self.record(x)
        let expected = Self.quantized(x)
        #expect(scale == expected.scale)
        #expect(codes == expected.codes)
        // Each block's factor is 1, and its sums are those of the codes, of 32 and of 16.
        let blocks = columns / 32
        for block in 0..<blocks {
          let part = codes[32 * block..<32 * block + 32]
          #expect(floats[block] == 1)
          #expect(floats[blocks + block] == Float(part.reduce(0, +)))
          #expect(floats[2 * blocks + 2 * block] == Float(part.prefix(16).reduce(0, +)))
          #expect(floats[2 * blocks + 2 * block + 1] == Float(part.suffix(16).reduce(0, +)))
        }
      }
    }
  }

  @Test(arguments: instructionSets)
  func whatHasNoScale(instructionSet: String) {
    withInstructionSet(instructionSet) {
      var x = [Float](repeating: 0, count: 96)
      #expect(Self.record(x).scale == 0)
      #expect(Self.record(x).codes.allSatisfy { $0 == 0 })
      x[70] = 1e-38  // too small to divide by
      #expect(Self.record(x).scale == 0)
      for bad in [Float.nan, .infinity, -.infinity] {
        x[70] = bad
        #expect(Self.record(x).scale.isNaN)
      }
    }
  }

  @Test(arguments: instructionSets, [1, 31, 32, 33, 100, 288, 520])
  func productsMatchTheDefinition(instructionSet: String, columns: Int) {
    withInstructionSet(instructionSet) {
      for (rows, tokens) in [(1, 1), (5, 3), (17, 4), (40, 9)] {
        let stored = randomRows(.w8a8, rows: rows, columns: columns, seed: UInt64(columns + rows))
        let (codes, r, _) = RowScaleTests.parts(stored, .w8a8, rows: rows, columns: columns)
        // Off the alignment of halves, as in a file.
        let region = ByteRegion([0] + stored).slice(1..<stored.count + 1)
        let matrix = WeightMatrix(rows: rows, columns: columns, format: .w8a8, bytes: region)
        var generator = SeededGenerator(seed: 78)
        let x = generator.floats(tokens * columns)
        var y = [Float](repeating: .nan, count: tokens * rows)
        matrix.multiply(x, tokens: tokens, into: &y)
        for token in 0..<tokens {
          let inputs = Self.quantized(Array(x[token * columns..<(token + 1) * columns]))
          for row in 0..<rows {
            // The integers' sum is exact: what is left is the rounding of two products.
            let sum = (0..<columns).reduce(0) { $0 + codes[row][$1] * inputs.codes[$1] }
            #expect(y[token * rows + row] == Float(sum) * inputs.scale * Float(r[row]))
          }
        }
        var decoded = [Float](repeating: .nan, count: columns)
        for row in 0..<rows {
          matrix.decodeRow(row, into: &decoded)
          #expect(decoded == (0..<columns).map { Float(r[row]) * Float(codes[row][$0]) })
        }
      }
    }
  }

  /// Sums beyond 2²⁴ are rounded as floats, nothing wraps or saturates.
  @Test(arguments: instructionSets)
  func theLargestSums(instructionSet: String) {
    withInstructionSet(instructionSet) {
      let columns = 8192
      for code in [Int8(127), -127, -128] {
        let row: [UInt8] = [0, 0x3C] + [UInt8](repeating: UInt8(bitPattern: code), count: columns)
        for tokens in [1, 5] {
          let matrix = WeightMatrix(
            rows: 3, columns: columns, format: .w8a8, bytes: ByteRegion(row + row + row))
          var y = [Float](repeating: .nan, count: 3 * tokens)
          matrix.multiply([Float](repeating: 127, count: tokens * columns), tokens: tokens, into: &y)
          let expected = Double(code) * 127 * Double(columns)
          #expect(y.allSatisfy { abs(Double($0) - expected) < 1e-6 * abs(expected) })
        }
      }
    }
  }

  /// A token with a NaN has no plausible results, and its neighbours keep theirs.
  @Test func aNaNStaysInItsToken() {
    let (rows, columns) = (9, 64)
    let bytes = ByteRegion(randomRows(.w8a8, rows: rows, columns: columns, seed: 4))
    let matrix = WeightMatrix(rows: rows, columns: columns, format: .w8a8, bytes: bytes)
    var generator = SeededGenerator(seed: 5)
    var x = generator.floats(5 * columns)
    x[2 * columns + 7] = .nan
    var y = [Float](repeating: 0, count: 5 * rows)
    matrix.multiply(x, tokens: 5, into: &y)
    for place in y.indices { #expect(y[place].isNaN == (place / rows == 2)) }
  }
}
