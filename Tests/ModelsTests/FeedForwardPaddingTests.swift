import ModelFiles
import Models
import TensorCore
import Testing

/// Neurons of zeros.
@Suite("Wider feed-forward layers")
struct FeedForwardPaddingTests {
  @Test("logits stay what they were, bit for bit or to rounding", arguments: TinyModel.language)
  func sameLogits(_ name: String) throws {
    let checkpoint = try TinyModel.checkpoint(name)
    let width = try #require(checkpoint.configuration["intermediate_size"]?.intValue)
    let multiple = try #require((2...width).first { width % $0 != 0 })
    let padded = try #require(checkpoint.paddingFeedForward(to: multiple))
    let wider = try #require(padded.configuration["intermediate_size"]?.intValue)
    #expect(wider > width && wider % multiple == 0)
    guard case .language(let before) = try checkpoint.makeModel(),
      case .language(let after) = try padded.makeModel()
    else {
      Issue.record("no language model")
      return
    }
    let tokens = [1, 5, 9, 3, 7, 2]
    let a = before.forward(tokens, cache: before.makeCache(capacity: 6), logits: .from(0))
    let b = after.forward(tokens, cache: after.makeCache(capacity: 6), logits: .from(0))
    let worst = zip(a.elements, b.elements).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst < 1e-4 * (1 + (a.elements.map { abs($0) }.max() ?? 0)), "\(worst)")
    // The whole file is consistent: it can be written and read again.
    let again = try Checkpoint.load(TinyModel.throughGGUF(padded))
    #expect(again.configuration["intermediate_size"]?.intValue == wider)
  }

  @Test("what divides already, and what has no such layers, is left alone")
  func nothingToDo() throws {
    let checkpoint = try TinyModel.checkpoint("llama-tied")
    let width = try #require(checkpoint.configuration["intermediate_size"]?.intValue)
    #expect(checkpoint.paddingFeedForward(to: width)?.name == nil)
    #expect(try TinyModel.checkpoint("bert-mean").paddingFeedForward(to: 7)?.name == nil)
  }
}
