import Models
import TensorCore
import Testing

/// A model of which one block is in memory at a time.
@Suite("Streamed models")
struct StreamedModelTests {
  @Test("the logits of the whole model, text by text and position by position", arguments: TinyModel.language)
  func logits(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let streamed = try #require(try StreamedModel(checkpoint))
    guard case .language(let whole) = try checkpoint.makeModel() else {
      Issue.record("no language model")
      return
    }
    #expect(streamed.vocabularySize == whole.vocabularySize)
    let sequences = [[1, 5, 9, 3, 7, 2, 11, 4], [], [3, 8, 2], [6, 6, 1, 12, 10]]
    let states = try streamed.states(of: sequences)
    for (place, sequence) in sequences.enumerated() where !sequence.isEmpty {
      let expected = whole.forward(
        sequence, cache: whole.makeCache(capacity: sequence.count), logits: .from(0))
      let found = try states.logits(of: place, at: 0..<sequence.count)
      let scale = 1 + (expected.elements.map { abs($0) }.max() ?? 0)
      let worst = zip(found.elements, expected.elements).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst < 1e-5 * scale)
      // Step by step, as a cache would have it.
      let cache = streamed.makeCache(capacity: sequence.count)
      _ = streamed.forward(Array(sequence.prefix(2)), cache: cache, logits: .none)
      let last = streamed.forward(Array(sequence.dropFirst(2)), cache: cache, logits: .last)
      let again = zip(last.elements, expected.row(sequence.count - 1)).map { abs($0 - $1) }.max() ?? .infinity
      #expect(again < 1e-5 * scale)
    }
  }

  @Test("encoders and small models are not streamed")
  func whole() throws {
    for name in TinyModel.encoders { #expect(try StreamedModel(try TinyModel.checkpoint(name)) == nil) }
    let checkpoint = try TinyModel.checkpoint(try #require(TinyModel.language.first))
    guard case .language(let model) = try checkpoint.makeModel(isStreamed: true) else {
      Issue.record("no language model")
      return
    }
    #expect(!(model is StreamedModel))
  }
}
