import Evaluation
import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing

/// A real model against transformers: Fixtures/make_perplexity.py.
@Suite(.enabled(if: SharedData.isPresent))
struct RealModelTests {
  @Test func perplexityIsThatOfTransformers() throws {
    let expected = try jsonFixture("perplexity.json")
    let context = try #require(expected["context"]?.intValue)
    let chunks = EvaluationChunks(
      chunks: (expected["chunks"]?.arrayValue ?? []).map { chunk in
        .init(tokens: (chunk.arrayValue ?? []).compactMap(\.intValue), first: context / 2)
      },
      context: context, fromStart: false, addsBeginningOfText: true, textName: "tinystories-val.txt",
      textHash: "", textTokens: 0)
    let path = SharedData.path("models/stories260K/derived-hf")
    let checkpoint = try Checkpoint.load(ModelFiles.open(path))
    guard case .language(let model) = try checkpoint.makeModel() else {
      Issue.record("stories260K is a language model")
      return
    }
    let metrics = try LanguageEvaluation.run(model, baseline: model, chunks: chunks)
    let perplexity = try #require(expected["perplexity"]?.doubleValue)
    #expect(abs(metrics.perplexity.value / perplexity - 1) < 1e-5)
    let losses = (expected["losses"]?.arrayValue ?? []).compactMap(\.doubleValue)
    #expect(losses.count == 6 && metrics.chunks.count == 6)
    for (chunk, loss) in zip(metrics.chunks, losses) { #expect(abs(chunk.loss / loss - 1) < 1e-4) }
    #expect(metrics.divergence?.maximum == 0 && metrics.divergence?.sameTop.value == 1)
  }
}
