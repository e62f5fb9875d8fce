import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing

/// Every variant against what `transformers` computes in 32-bit floats.
@Suite struct ForwardTests {
  /// The largest relative difference that the project promises.
  static let tolerance: Float = 1e-4

  @Test(arguments: TinyModel.language)
  func logitsAgreeWithTransformers(_ name: String) throws {
    let reference = try Reference(fixture("models/\(name)/reference.safetensors"))
    let model = try languageModel(TinyModel.checkpoint(name))
    let error = relativeError(logits(model, reference.ids[0]), reference.values)
    #expect(error < Self.tolerance, "\(name): \(error)")
  }

  @Test(arguments: TinyModel.language)
  func decodingTokenByTokenAgrees(_ name: String) throws {
    let reference = try Reference(fixture("models/\(name)/reference.safetensors"))
    let model = try languageModel(TinyModel.checkpoint(name))
    let ids = reference.ids[0]
    let cache = model.makeCache(capacity: ids.count)
    var rows = model.forward(Array(ids[..<5]), cache: cache, logits: .from(0)).elements
    for id in ids[5...] { rows += model.forward([id], cache: cache, logits: .last).elements }
    #expect(cache.count == ids.count)
    let found = Matrix(rows: ids.count, columns: model.vocabularySize, elements: rows)
    let error = relativeError(found, reference.values)
    #expect(error < Self.tolerance, "\(name): \(error)")
  }

  @Test func logitsAreGivenWhereAskedFor() throws {
    let model = try languageModel(TinyModel.checkpoint("llama-tied"))
    let ids = [5, 9, 11, 40]
    let all = logits(model, ids)
    func run(_ request: LogitsRequest) -> Matrix {
      model.forward(ids, cache: model.makeCache(capacity: 4), logits: request)
    }
    #expect(run(.none) == Matrix(rows: 0, columns: 64))
    // One row takes another route through the matrix product than four: equal up to rounding.
    #expect(relativeError(run(.last), Matrix(rows: 1, columns: 64, elements: Array(all.row(3)))) < 1e-6)
    let end = Matrix(rows: 2, columns: 64, elements: Array(all.row(2)) + Array(all.row(3)))
    #expect(relativeError(run(.from(2)), end) < 1e-6)
    #expect(run(.from(4)).rows == 0)
  }

  @Test func truncatedCacheContinues() throws {
    let model = try languageModel(TinyModel.checkpoint("qwen3"))
    let cache = model.makeCache(capacity: 8)
    _ = model.forward([5, 6, 7, 8], cache: cache, logits: .none)
    cache.truncate(to: 2)
    let again = model.forward([9, 10], cache: cache, logits: .last)
    let fresh = model.forward([5, 6, 9, 10], cache: model.makeCache(capacity: 4), logits: .last)
    #expect(relativeError(again, fresh) < 1e-6)
  }

  @Test(arguments: TinyModel.encoders)
  func embeddingsAgreeWithTransformers(_ name: String) throws {
    let reference = try Reference(fixture("models/\(name)/reference.safetensors"))
    let model = try encoderModel(TinyModel.checkpoint(name))
    #expect(reference.ids.map(\.count) == [5, 11, 1, 20])
    let error = relativeError(model.embed(reference.ids), reference.values)
    #expect(error < Self.tolerance, "\(name): \(error)")
  }

  @Test func packedSequencesDoNotSeeEachOther() throws {
    let model = try encoderModel(TinyModel.checkpoint("bert-mean"))
    let (first, second) = ([3, 4, 5, 6, 7], [9, 10, 11, 12, 13, 14])
    let both = model.embed([first, second])
    #expect(
      relativeError(model.embed([second]), Matrix(rows: 1, columns: 32, elements: Array(both.row(1)))) < 1e-6)
  }

  @Test func resultsDoNotDependOnThreads() throws {
    let model = try languageModel(TinyModel.checkpoint("mistral"))
    let ids = (0..<60).map { ($0 * 7 + 3) % 64 }
    let before = Parallel.threadCount
    defer { Parallel.threadCount = before }
    Parallel.threadCount = 1
    let alone = logits(model, ids)
    Parallel.threadCount = 3
    #expect(logits(model, ids) == alone)
  }
}
