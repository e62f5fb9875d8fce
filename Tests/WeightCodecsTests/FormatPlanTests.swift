import TensorCore
import Testing
import WeightCodecs

@Suite struct FormatPlanTests {
  @Test func `a format that fits is kept, without a reason`() {
    for format in TensorFormat.allCases {
      #expect(FormatPlan.fallback(for: format, rowLength: 512) == FormatChoice(format: format, reason: nil))
    }
  }

  @Test(arguments: [
    (TensorFormat.q4_k, TensorFormat.iq4_nl), (.q5_k, .q5_0), (.q6_k, .q8_0), (.q3_k, .iq4_nl),
    (.q2_k, .iq4_nl), (.iq4_xs, .iq4_nl),
  ])
  func `rows of 384 fall to blocks of 32`(_ format: TensorFormat, _ expected: TensorFormat) {
    let choice = FormatPlan.fallback(for: format, rowLength: 384)
    #expect(choice.format == expected)
    #expect(choice.reason?.contains("384") == true)
  }

  @Test(arguments: quantized)
  func `rows of 172 fall to half precision, and the reason says how much larger`(_ format: TensorFormat) {
    let choice = FormatPlan.fallback(for: format, rowLength: 172)
    #expect(choice.format == .f16)
    #expect(choice.reason?.contains("larger: 16.0 instead of \(format.bitsPerWeight) bits") == true)
  }

  @Test(arguments: TensorFormat.allCases)
  func `the replacement always fits, and is never silently larger`(_ format: TensorFormat) {
    for rowLength in [1, 32, 64, 100, 172, 255, 256, 288, 384, 11_008] {
      let choice = FormatPlan.fallback(for: format, rowLength: rowLength)
      #expect(rowLength % choice.format.blockSize == 0)
      let isLarger = choice.format.bitsPerWeight > format.bitsPerWeight
      #expect((choice.reason?.contains("larger") == true) == isLarger)
    }
  }

  @Test func `four and five bits keep their size`() {
    #expect(TensorFormat.q4_k.bitsPerWeight == TensorFormat.iq4_nl.bitsPerWeight)
    #expect(TensorFormat.q5_k.bitsPerWeight == TensorFormat.q5_0.bitsPerWeight)
  }
}
