import ModelFiles
import Models
import TensorCore
import Testing

/// A token embedding that is loaded after the first token.
@Suite struct TokenEmbeddingTests {
  private static let name = "model.embed_tokens.weight"

  /// What was asked of an embedding.
  private struct Asked: Equatable {
    var whole = 0
    var parts = 0
  }

  /// The first tiny model whose output is its own, with an embedding that counts what is asked of it.
  private static func checkpoint(
    _ asked: Locked<Asked>, partsFail: Bool = false, wholeFails: Bool = false
  ) throws -> Checkpoint {
    var checkpoint = try #require(
      try TinyModel.language.map(TinyModel.checkpoint).first { !$0.isTied })
    let place = try #require(checkpoint.tensors.firstIndex { $0.name == name })
    let bytes = checkpoint.tensors[place].bytes
    let damaged = ModelError(.nonFinite, "file", "damaged")
    checkpoint.tensors[place].bytes = TensorBytes(
      count: bytes.count,
      make: {
        asked.withLock { $0.whole += 1 }
        if wholeFails { throw damaged }
        return try bytes.load()
      },
      part: { range in
        asked.withLock { $0.parts += 1 }
        if partsFail { throw damaged }
        return try bytes.load().slice(range)
      })
    return checkpoint
  }

  private static func model(_ checkpoint: Checkpoint, isLate: Bool) throws -> any LanguageModel {
    guard case .language(let model) = try checkpoint.makeModel(isLate: isLate) else {
      throw ModelError(.unsupported, "", "no language model")
    }
    return model
  }

  /// Logits of a prompt, then of two more tokens.
  private static func logits(_ model: any LanguageModel, prompt: [Int]) -> [[Float]] {
    let cache = model.makeCache(capacity: 32)
    return [prompt, [3], [4]].map { model.forward($0, cache: cache, logits: .last).elements }
  }

  @Test func predictionsAreThoseOfAMatrixInMemory() throws {
    for prompt in [[1], [1, 2, 1], Array(1...12)] {
      let asked = Locked(Asked())
      let late = try Self.model(try Self.checkpoint(asked), isLate: true)
      #expect(asked.withLock { $0 } == Asked(), "nothing is loaded before the first token")
      let found = Self.logits(late, prompt: prompt)
      #expect(late.failure == nil)
      #expect(asked.withLock { $0 } == Asked(whole: 1, parts: prompt.count > 8 ? 0 : prompt.count))
      let expected = Self.logits(
        try Self.model(try Self.checkpoint(Locked(Asked())), isLate: false), prompt: prompt)
      #expect(found == expected)
      #expect(late.bytesPerToken > 0)
    }
  }

  @Test func whoDoesNotAskForItHasAllAtOnce() throws {
    let asked = Locked(Asked())
    _ = try Self.model(try Self.checkpoint(asked), isLate: false)
    #expect(asked.withLock { $0 } == Asked(whole: 1))
  }

  @Test func damageIsToldBeforePredictionsAreUsed() throws {
    let rows = try Self.model(try Self.checkpoint(Locked(Asked()), partsFail: true), isLate: true)
    #expect(rows.failure == nil)
    _ = rows.forward([1], cache: rows.makeCache(capacity: 4), logits: .last)
    #expect(rows.failure as? ModelError == ModelError(.nonFinite, "file", "damaged"))
    let whole = try Self.model(try Self.checkpoint(Locked(Asked()), wholeFails: true), isLate: true)
    let cache = whole.makeCache(capacity: 4)
    _ = whole.forward([1], cache: cache, logits: .last)
    #expect(whole.failure == nil)
    _ = whole.forward([2], cache: cache, logits: .last)
    #expect(whole.failure as? ModelError == ModelError(.nonFinite, "file", "damaged"))
  }

  @Test func aSharedMatrixIsThereFromTheStart() throws {
    let checkpoint = try #require(try TinyModel.language.map(TinyModel.checkpoint).first { $0.isTied })
    let model = try Self.model(checkpoint, isLate: true)
    #expect(
      Self.logits(model, prompt: [1, 2])
        == Self.logits(try Self.model(checkpoint, isLate: false), prompt: [1, 2]))
  }
}
