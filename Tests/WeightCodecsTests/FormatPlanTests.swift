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

  /// Groups divide rows or become smaller, and say so; one scale a row takes any.
  @Test func `groups that do not divide become smaller`() {
    for (length, expected) in [
      (128, TensorFormat.int4_g128), (192, .int4_g64), (96, .int4_g32), (48, .int8_channel),
    ] {
      let choice = FormatPlan.fallback(for: .int4_g128, rowLength: length)
      #expect(choice.format == expected)
      #expect((choice.reason == nil) == (expected == .int4_g128))
    }
    #expect(FormatPlan.fallback(for: .int8_channel, rowLength: 7).format == .int8_channel)
    #expect(
      FormatPlan.fallback(for: .int4_g64, rowLength: 96).reason
        == "rows of 96 do not divide by 64, the block of int4.g64; stored as int4.g32 (larger: 4.5 instead of 4.25 bits per weight)"
    )
  }

  @Test(arguments: quantized.filter { $0.kernelID != nil })
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
