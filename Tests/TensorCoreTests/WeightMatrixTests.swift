import Testing
import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Products in the stored form against sums in double precision over decoded rows.
@Suite struct WeightMatrixTests {
  static let blockFormats = TensorFormat.allCases.filter { $0.blockSize > 1 }
  static let floatFormats = TensorFormat.allCases.filter(\.isFloat)

  /// What quantized activations stand for: codes rounded to nearest even, times their block's scale.
  static func quantized(_ x: [Float]) -> [Double] {
    var result: [Double] = []
    for start in stride(from: 0, to: x.count, by: 32) {
      let block = x[start..<start + 32]
      let most = block.reduce(0) { max($0, abs($1)) }
      guard most > 0 else {
        result += [Double](repeating: 0, count: 32)
        continue
      }
      let inverse = 127 / most
      result += block.map { Double(($0 * inverse).rounded(.toNearestOrEven)) * Double(most / 127) }
    }
    return result
  }

  /// Compares every result with the naive sum; the tolerance follows the size of what is summed.
  static func check(
    _ format: TensorFormat, rows: Int, columns: Int, tokens: Int, shift: Int = 0, seed: UInt64
  ) {
    let stored = randomRows(format, rows: rows, columns: columns, seed: seed)
    // `shift` moves the rows off their natural alignment, as in a file.
    let region = ByteRegion([UInt8](repeating: 0, count: shift) + stored).slice(shift..<shift + stored.count)
    let matrix = WeightMatrix(rows: rows, columns: columns, format: format, bytes: region)
    var generator = SeededGenerator(seed: seed + 1)
    let x = generator.floats(tokens * columns)
    var y = [Float](repeating: .nan, count: tokens * rows)
    matrix.multiply(x, tokens: tokens, into: &y)
    let inputs = format.isQuantized ? Self.quantized(x) : x.map(Double.init)
    var row = [Float](repeating: 0, count: columns)
    var worst = 0.0
    for r in 0..<rows {
      matrix.decodeRow(r, into: &row)
      for t in 0..<tokens {
        var (sum, size) = (0.0, 1e-30)
        for c in 0..<columns {
          let product = Double(row[c]) * inputs[t * columns + c]
          sum += product
          size += abs(product)
        }
        let error = abs(Double(y[t * rows + r]) - sum) / size
        worst = error.isNaN ? .infinity : max(worst, error)
      }
    }
    #expect(worst < 2e-6, "\(format) \(rows)×\(columns), \(tokens) tokens: relative error \(worst)")
  }

  @Test(arguments: blockFormats, instructionSets)
  func blockFormatsMatchDecodedRows(format: TensorFormat, instructionSet: String) {
    withInstructionSet(instructionSet) {
      for (index, tokens) in [1, 2, 3, 4, 5, 7, 8, 11, 17, 33, 70].enumerated() {
        let rows = [1, 3, 8, 9, 16, 17, 31, 5, 33, 40, 7][index]
        let columns = format.blockSize > 32 ? [256, 512, 768][index % 3] : [32, 96, 256, 288][index % 4]
        Self.check(
          format, rows: rows, columns: columns, tokens: tokens, shift: index % 4, seed: UInt64(index))
      }
    }
  }

  @Test(arguments: floatFormats, instructionSets)
  func floatFormatsMatchDecodedRows(format: TensorFormat, instructionSet: String) {
    withInstructionSet(instructionSet) {
      for (index, tokens) in [1, 2, 3, 4, 8, 17, 33].enumerated() {
        let columns = [1, 15, 16, 33, 100, 257, 64][index]
        Self.check(
          format, rows: [1, 7, 16, 33, 129, 5, 40][index], columns: columns, tokens: tokens,
          shift: index % 3, seed: UInt64(index))
      }
    }
  }

  /// Codes at the ends of their range against activations that are all as large as can be: nothing saturates.
  @Test(arguments: blockFormats, instructionSets)
  func extremeCodesDoNotSaturate(format: TensorFormat, instructionSet: String) {
    for filler in [UInt8(0x00), 0x7f, 0x80, 0xff] {
      var bytes = [UInt8](repeating: filler, count: format.bytesPerBlock * 24 * (256 / format.blockSize))
      // Scales must stay finite: a half of 0x2c00 is 1/16.
      let halves: [Int] =
        switch format {
        case .q4_1, .q5_1, .q4_k, .q5_k: [0, 2]
        case .q2_k: [80, 82]
        case .q3_k, .q6_k: [format.bytesPerBlock - 2]
        default: [0]
        }
      for block in stride(from: 0, to: bytes.count, by: format.bytesPerBlock) {
        for offset in halves { (bytes[block + offset], bytes[block + offset + 1]) = (0x00, 0x2c) }
      }
      let matrix = WeightMatrix(rows: 24, columns: 256, format: format, bytes: ByteRegion(bytes))
      var row = [Float](repeating: 0, count: 256)
      matrix.decodeRow(0, into: &row)
      for sign in [Float(1), -1] {
        let expected = row.reduce(0.0) { $0 + Double($1 * sign) }
        let size = row.reduce(1e-30) { $0 + Double(abs($1)) }
        for tokens in [1, 8] {
          let x = [Float](repeating: sign, count: 256 * tokens)
          var y = [Float](repeating: 0, count: 24 * tokens)
          withInstructionSet(instructionSet) { matrix.multiply(x, tokens: tokens, into: &y) }
          for value in y { #expect(abs(Double(value) - expected) < 1e-5 * size) }
        }
      }
    }
  }

  @Test(arguments: [TensorFormat.q4_k, .q8_0, .iq4_nl, .q6_k, .f32, .bf16], [1, 3, 5, 40])
  func threadsDoNotChangeABit(format: TensorFormat, tokens: Int) {
    let (rows, columns) = (333, 512)
    let bytes = ByteRegion(randomRows(format, rows: rows, columns: columns, seed: 9))
    let matrix = WeightMatrix(rows: rows, columns: columns, format: format, bytes: bytes)
    var generator = SeededGenerator(seed: 10)
    let x = generator.floats(tokens * columns)
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    let results = [1, 2, 3, 4].map { threads in
      Parallel.threadCount = threads
      var y = [Float](repeating: 0, count: tokens * rows)
      matrix.multiply(x, tokens: tokens, into: &y)
      return y.map(\.bitPattern)
    }
    for result in results { #expect(result == results[0]) }
  }

  /// Integers are exact and floats are added in one order, so sets that fuse multiply and add agree in every bit.
  @Test(arguments: blockFormats.filter { $0.rowHeaderBytes == 0 }, [1, 3, 5, 11])
  func vectorInstructionSetsAgreeInEveryBit(format: TensorFormat, tokens: Int) {
    let (rows, columns) = (45, 256)  // few enough for one thread
    let bytes = ByteRegion(randomRows(format, rows: rows, columns: columns, seed: 11))
    let matrix = WeightMatrix(rows: rows, columns: columns, format: format, bytes: bytes)
    var generator = SeededGenerator(seed: 12)
    let x = generator.floats(tokens * columns)
    let results = instructionSets.filter { $0 != "scalar" }.map { name in
      var y = [Float](repeating: 0, count: tokens * rows)
      withInstructionSet(name) { matrix.multiply(x, tokens: tokens, into: &y) }
      return y.map(\.bitPattern)
    }
    for result in results { #expect(result == results[0]) }
  }

  /// A token's results are the same bits whatever other tokens are in the batch.
  @Test(arguments: [TensorFormat.q4_k, .q8_0, .q6_k, .q5_0])
  func neighboursDoNotChangeABit(format: TensorFormat) {
    let (rows, columns) = (24, 512)
    let bytes = ByteRegion(randomRows(format, rows: rows, columns: columns, seed: 3))
    let matrix = WeightMatrix(rows: rows, columns: columns, format: format, bytes: bytes)
    var generator = SeededGenerator(seed: 4)
    let x = generator.floats(11 * columns)
    var all = [Float](repeating: 0, count: 11 * rows)
    matrix.multiply(x, tokens: 11, into: &all)
    var some = [Float](repeating: 0, count: 6 * rows)
    matrix.multiply(Array(x[(5 * columns)...]), tokens: 6, into: &some)
    #expect(Array(all[(5 * rows)...]) == some)
  }

  @Test(arguments: instructionSets)
  func nonFiniteActivationsAreSeen(instructionSet: String) {
    let bytes = ByteRegion(randomRows(.q8_0, rows: 8, columns: 64, seed: 5))
    let matrix = WeightMatrix(rows: 8, columns: 64, format: .q8_0, bytes: bytes)
    for bad in [Float.nan, .infinity, -.infinity] {
      var x = [Float](repeating: 1, count: 64 * 5)
      x[64 + 40] = bad
      var y = [Float](repeating: 0, count: 8 * 5)
      withInstructionSet(instructionSet) { matrix.multiply(x, tokens: 5, into: &y) }
      let finite = y.map(\.isFinite)
      #expect(finite[8..<16] == [Bool](repeating: false, count: 8)[...])
      #expect(finite[0..<8] == [Bool](repeating: true, count: 8)[...])
      #expect(finite[16...] == [Bool](repeating: true, count: 24)[...])
    }
  }

  @Test func tinyAndZeroActivationsGiveFiniteResults() {
    let bytes = ByteRegion(randomRows(.q4_0, rows: 4, columns: 32, seed: 6))
    let matrix = WeightMatrix(rows: 4, columns: 32, format: .q4_0, bytes: bytes)
    for value in [Float(0), .leastNonzeroMagnitude, 1e-38, 1e-30] {
      var y = [Float](repeating: .nan, count: 4)
      matrix.multiply([Float](repeating: value, count: 32), tokens: 1, into: &y)
      let finite = y.map(\.isFinite)
      #expect(finite == [true, true, true, true])
    }
  }

  @Test func emptyShapesAreFine() {
    var y: [Float] = [7, 7]
    WeightMatrix(rows: 2, columns: 0, format: .f32, bytes: ByteRegion([])).multiply([], tokens: 1, into: &y)
    #expect(y == [0, 0])
    WeightMatrix(rows: 0, columns: 32, format: .q8_0, bytes: ByteRegion([])).multiply([], tokens: 0, into: &y)
    #expect(y == [0, 0])
  }
}
