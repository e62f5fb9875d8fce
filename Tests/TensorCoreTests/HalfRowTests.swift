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

  /// A dense row beside them keeps rows whole: those of both products are the same, bit for bit.
  @Test(arguments: [1, 3, 40], [256, 768, 2048])
  func resultsAreThoseOfWholeRows(tokens: Int, columns: Int) {
    let count = 37
    let (half, y) = Self.product(
      Self.rows(count, columns: columns), rows: count, columns: columns, tokens: tokens)
    let (whole, z) = Self.product(
      Self.rows(count, columns: columns, denseRow: true), rows: count + 1, columns: columns, tokens: tokens)
    #expect(whole.byteCount == (count + 1) * columns / 32 * 34)
    #expect(
      half.byteCount
        == (ck_multiplies_halves() == 1 ? count * columns / 256 * 176 : count * columns / 32 * 34))
    for token in 0..<tokens {
      #expect(
        Array(y[token * count..<(token + 1) * count])
          == Array(z[token * (count + 1)..<(token + 1) * (count + 1) - 1]))
    }
    var (a, b) = ([Float](repeating: 0, count: columns), [Float](repeating: 1, count: columns))
    half.decodeRow(count - 1, into: &a)
    whole.decodeRow(count - 1, into: &b)
    #expect(a == b)
  }

  @Test func halfRowsComeBack() {
    let columns = 512
    var row = Self.rows(1, columns: columns)
    // As many as there is room for, anywhere in 64.
    for place in 0..<34 * 2 where place % 34 >= 2 { row[place] = place < 34 ? UInt8(place) : 0 }
    var half = [UInt8](repeating: 9, count: ck_half_row_bytes(columns))
    var back = [UInt8](repeating: 7, count: row.count)
    #expect(ck_half_row_bytes(columns) == 352)
    #expect(ck_halve_row(row, columns, &half) == 1)
    #expect(Array(half[0..<2]) == Array(row[0..<2]) && half[16..<24] == [255, 255, 255, 255, 0, 0, 0, 0])
    ck_expand_row(half, columns, &back)
    #expect(back == row)
    row[34 + 2 + 31] = 1
    #expect(ck_halve_row(row, columns, &half) == 0)
  }

  /// Every body gives what whole rows give.
  @Test(arguments: instructionSets)
  func everyInstructionSet(name: String) {
    let (columns, count) = (1024, 5)
    let bytes = Self.rows(count, columns: columns)
    var halves = [UInt8](repeating: 0, count: count * ck_half_row_bytes(columns))
    for row in 0..<count {
      bytes.withUnsafeBytes { rows in
        halves.withUnsafeMutableBytes { halves in
          guard let from = rows.baseAddress, let to = halves.baseAddress else { return }
          let kept = ck_halve_row(
            from + row * columns / 32 * 34, columns, to + row * ck_half_row_bytes(columns))
          #expect(kept == 1)
        }
      }
    }
    withInstructionSet(name) {
      var generator = SeededGenerator(seed: 6)
      let x = generator.floats(columns)
      let record = UnsafeMutableRawPointer.allocate(byteCount: ck_activation_bytes(columns), alignment: 64)
      let scratch = UnsafeMutableRawPointer.allocate(byteCount: columns / 32 * 34, alignment: 64)
      defer {
        record.deallocate()
        scratch.deallocate()
      }
      ck_quantize_activations(x, columns, record)
      var (y, z) = ([Float](repeating: 0, count: count), [Float](repeating: 1, count: count))
      ck_multiply_half_rows(halves, count, columns, record, 1, &y, count, scratch)
      ck_multiply_rows(Int32(CK_Q8_0), bytes, columns / 32 * 34, count, columns, record, 1, &z, count)
      #expect(y == z)
    }
  }
}
