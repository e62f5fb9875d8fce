import TensorCore
import Testing
import WeightCodecs

/// Weights that were pruned: whether a format can keep them at zero.
@Suite struct ZeroTests {
  static let written = CodecList.all.filter(\.canEncode).map(\.format)

  /// Normal weights, half of them zero, and a few rows of zeros only.
  private func sparse() -> Matrix {
    var matrix = Matrix(rows: 8, columns: 512, elements: normal(8 * 512, seed: 31, scale: 0.04))
    for place in matrix.elements.indices where place * 7 % 13 < 6 || place / 512 == 3 {
      matrix.elements[place] = 0
    }
    return matrix
  }

  @Test(arguments: written) func `formats that hold zero keep every zero`(_ format: TensorFormat) throws {
    let matrix = sparse()
    for importance in [nil, normal(512, seed: 5).map { $0 * $0 }] {
      let bytes = try TensorCoding.encode(matrix, format: format, importance: importance)
      let decoded = try TensorCoding.decode(bytes, format: format, rows: 8, columns: 512)
      let lost = matrix.elements.indices.filter { matrix.elements[$0] == 0 && decoded.elements[$0] != 0 }
      #expect(lost.isEmpty == format.holdsZero, "\(format): \(lost.count) zeros came back as something else")
    }
  }

  @Test func `what takes the place of other formats holds zero, and is hardly larger`() {
    for format in TensorFormat.allCases where format.isWeight {
      let other = FormatPlan.holdingZeros(format)
      #expect(other.holdsZero)
      #expect(format.holdsZero ? other == format : other.bitsPerWeight <= format.bitsPerWeight + 1)
    }
  }
}
