import CKernels
import TensorCore
import Testing

/// Rows of which half is zero: stored in half the room, multiplied with the same results.
@Suite struct HalfRowTests {
  /// Rows of q8_0 blocks with two of four codes left, and, where `denseRow` is set, one more row without zeros.
  static func rows(_ count: Int, columns: Int, denseRow: Bool = false) -> [UInt8] {
    var bytes = randomRows(.q8_0, rows: count, columns: columns, seed: 31)
    for place in bytes.indices where place % 34 >= 2 && (place % 34 - 2) % 4 < 2 { bytes[place] = 0 }
    guard denseRow else { return bytes }
    return bytes + (0..<columns / 32 * 34).map { $0 % 34 < 2 ? 60 : 1 }
  }

  static func product(_ bytes: [UInt8], rows: Int, columns: Int, tokens: Int) -> (WeightMatrix, [Float]) {
    let matrix = WeightMatrix(rows: rows, columns: columns, format: .q8_0, bytes: ByteRegion(bytes))
    var generator = SeededGenerator(seed: 5)
    let x = generator.floats(tokens * columns)
    var y = [Float](repeating: .nan, count: tokens * rows)
    matrix.multiply(x, tokens: tokens, into: &y)
    return (matrix, y)
  }

  /// A dense row beside them keeps rows whole. Many tokens are multiplied with whole rows in any case; for few, sums are taken in
  /// another order.
  @Test(arguments: [1, 3, 40], [256, 768, 2048])
  func resultsAreThoseOfWholeRows(tokens: Int, columns: Int) {
    let count = 37
    let (half, y) = Self.product(
      Self.rows(count, columns: columns), rows: count, columns: columns, tokens: tokens)
    let (whole, z) = Self.product(
      Self.rows(count, columns: columns, denseRow: true), rows: count + 1, columns: columns, tokens: tokens)
    let wholeBytes = columns / 32 * 34
    #expect(whole.byteCount == (count + 1) * wholeBytes)
    #expect(half.byteCount == count * (ck_multiplies_halves() == 1 ? columns / 256 * 176 : wholeBytes))
    for token in 0..<tokens {
      for row in 0..<count {
        let (a, b) = (y[token * count + row], z[token * (count + 1) + row])
        #expect(tokens == 40 ? a == b : abs(a - b) <= 1e-4 * max(1, abs(b)), "token \(token), row \(row)")
      }
    }
    var (a, b) = ([Float](repeating: 0, count: columns), [Float](repeating: 1, count: columns))
    half.decodeRow(count - 1, into: &a)
    whole.decodeRow(count - 1, into: &b)
    #expect(a == b)
  }

  /// A matrix of half rows as a whole one again: the size of that, and its results.
  @Test(arguments: [TensorFormat.q8_0, .int8_channel, .w8a8])
  func wholeRowsComeBack(format: TensorFormat) {
    let (columns, count) = (512, 5)
    var bytes = randomRows(format, rows: count, columns: columns, seed: 31)
    let (stride, header) = format == .q8_0 ? (34, 2) : (2 + columns, 2)
    for place in bytes.indices where place % stride >= header && (place % stride - header) % 4 < 2 {
      bytes[place] = 0
    }
    let matrix = WeightMatrix(rows: count, columns: columns, format: format, bytes: ByteRegion(bytes))
    let whole = matrix.withWholeRows
    #expect(matrix.leavesZerosOut == (ck_multiplies_halves() == 1) && !whole.leavesZerosOut)
    #expect(whole.byteCount == count * columns / 32 * 34)
    var generator = SeededGenerator(seed: 5)
    let x = generator.floats(40 * columns)
    var (y, z) = ([Float](repeating: .nan, count: 40 * count), [Float](repeating: 0, count: 40 * count))
    matrix.multiply(x, tokens: 40, into: &y)
    whole.multiply(x, tokens: 40, into: &z)
    #expect(y == z)
  }

  @Test func halfRowsComeBack() {
    let columns = 512
    var row = Self.rows(1, columns: columns)
    // Two of four in any places, one, and none.
    for (group, codes) in [
      [1, 2, 0, 0], [0, 3, 0, 4], [5, 0, 0, 6], [0, 0, 0, 7], [8, 0, 0, 0], [0, 0, 0, 0],
    ].enumerated() {
      for (place, code) in codes.enumerated() { row[2 + 4 * group + place] = UInt8(code) }
    }
    var half = [UInt8](repeating: 9, count: ck_half_row_bytes(columns))
    var back = [UInt8](repeating: 7, count: row.count)
    #expect(ck_half_row_bytes(columns) == 352)
    #expect(ck_halve_row(row, columns, &half) == 1)
    #expect(Array(half[0..<2]) == Array(row[0..<2]))
    // Places of two bits, the first group's in the low half of a byte: 0 and 1; 1 and 3; 0 and 3; 2 and 3; 0 and 3; 0 and 3.
    #expect(Array(half[16..<19]) == [0b1101_0100, 0b1110_1100, 0b1100_1100])
    #expect(Array(half[48..<60]) == [1, 2, 3, 4, 5, 6, 0, 7, 8, 0, 0, 0])
    for name in instructionSets {
      withInstructionSet(name) { ck_expand_row(half, columns, &back) }
      #expect(back == row, "\(name)")
    }
    row[2 + 2] = 1
    #expect(ck_halve_row(row, columns, &half) == 0)
  }

  /// Every body gives the sums of the definition: whole numbers in each block of 32.
  @Test(arguments: instructionSets)
  func everyInstructionSet(name: String) {
    let (columns, count, tokens) = (1024, 5, 2)
    let bytes = Self.rows(count, columns: columns)
    let (stride, halfStride) = (columns / 32 * 34, ck_half_row_bytes(columns))
    var halves = [UInt8](repeating: 0, count: count * halfStride)
    for row in 0..<count {
      var half = [UInt8](repeating: 0, count: halfStride)
      #expect(ck_halve_row(Array(bytes[row * stride..<(row + 1) * stride]), columns, &half) == 1)
      halves.replaceSubrange(row * halfStride..<(row + 1) * halfStride, with: half)
    }
    withInstructionSet(name) {
      var generator = SeededGenerator(seed: 6)
      let size = ck_activation_bytes(columns)
      let records = UnsafeMutableRawPointer.allocate(byteCount: tokens * size, alignment: 64)
      defer { records.deallocate() }
      for token in 0..<tokens {
        ck_quantize_activations(generator.floats(columns), columns, records + token * size)
      }
      var y = [Float](repeating: 0, count: tokens * count)
      ck_multiply_half_rows(halves, count, columns, records, tokens, &y, count)
      for (token, row) in (0..<tokens).flatMap({ token in (0..<count).map { (token, $0) } }) {
        var (sum, total) = (0.0, 0.0)
        for block in 0..<columns / 32 {
          let place = row * stride + 34 * block
          let scale = Float16(bitPattern: UInt16(bytes[place]) | UInt16(bytes[place + 1]) << 8)
          let record = records + token * size
          let d = (record + columns).assumingMemoryBound(to: Float.self)[block]
          let dot = (0..<32).reduce(0) { sum, column in
            sum + Int(Int8(bitPattern: bytes[place + 2 + column]))
              * Int(record.load(fromByteOffset: 32 * block + column, as: Int8.self))
          }
          sum += Double(dot) * Double(scale) * Double(d)
          total += abs(Double(dot) * Double(scale) * Double(d))
        }
        #expect(abs(Double(y[token * count + row]) - sum) < 1e-6 * max(1, total))
      }
    }
  }
}
