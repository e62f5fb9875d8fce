import Foundation
import ModelFiles
import Models
import TensorCore
import TestSupport
import Testing

/// Real models, where they lie beside the project.
@Suite(.enabled(if: SharedData.isPresent)) struct SharedModelTests {
  private static func open(_ name: String) throws -> Checkpoint {
    try Checkpoint.load(ModelFiles.open(SharedData.path("models/\(name)")))
  }

  /// The same weights in four containers are the same checkpoint.
  @Test func containersAgree() throws {
    let names = [
      "stories260K/stories260K.bin", "stories260K/stories260K.gguf",
      "stories260K/derived-hf/model.safetensors",
      "stories260K/derived-hf/pytorch_model.bin",
    ]
    let checkpoints = try names.map(Self.open)
    let reference = try Reference(SharedData.path("reference/stories260K.safetensors"))
    let first = checkpoints[0]
    #expect(first.tensors.count == 47 && first.isTied)
    for (name, checkpoint) in zip(names, checkpoints) {
      #expect(checkpoint.tensors.map(\.name) == first.tensors.map(\.name), "\(name)")
      #expect(checkpoint.isTied, "\(name)")
      for (found, expected) in zip(checkpoint.tensors, first.tensors) {
        #expect(found.shape == expected.shape && found.format == expected.format, "\(name) \(found.name)")
        #expect(try found.values() == expected.values(), "\(name) \(found.name)")
      }
      let error = relativeError(logits(try languageModel(checkpoint), reference.ids[0]), reference.values)
      #expect(error < ForwardTests.tolerance, "\(name): \(error)")
    }
  }

  @Test(arguments: ["books-7m", "books-7m/books-7m-f32.gguf"])
  func booksAgreeWithTransformers(_ name: String) throws {
    let reference = try Reference(SharedData.path("reference/books-7m.safetensors"))
    let model = try languageModel(Self.open(name))
    let error = relativeError(logits(model, reference.ids[0]), reference.values)
    #expect(error < ForwardTests.tolerance, "\(error)")
  }

  @Test func sentenceEmbeddingsAgree() throws {
    let checkpoint = try Self.open("minilm-l6-v2")
    #expect(checkpoint.name == "minilm-l6-v2")
    let reference = try Reference(SharedData.path("reference/minilm-l6-v2.safetensors"))
    let error = relativeError(try encoderModel(checkpoint).embed(reference.ids), reference.values)
    #expect(error < ForwardTests.tolerance, "\(error)")
  }

  /// The loss that `transformers` and `sentencepiece` find on the first 69 stories, in nats a token.
  @Test func storiesHaveTheirLoss() throws {
    let checkpoint = try Self.open("stories260K/stories260K.bin")
    let tokenizer = try #require(checkpoint.tokenizer)
    let file = try MappedFile(path: SharedData.path("text/tinystories-val.txt"))
    let text = withExtendedLifetime(file) {
      String(decoding: file.region.buffer.prefix(60_000), as: UTF8.self)
    }
    let stories = text.components(separatedBy: "<|endoftext|>").dropLast()
    let model = try languageModel(checkpoint)
    var (loss, count) = (0.0, 0)
    for story in stories {
      let text = Array(story.trimmingCharacters(in: .whitespacesAndNewlines).utf8)
      let ids = Array(([1] + tokenizer.encode(text, addSpecial: false)).prefix(512))
      let rows = logits(model, ids)
      for position in 0..<ids.count - 1 {
        let row = Array(rows.row(position))
        loss += Kernels.logSumExp(row, count: row.count) - Double(row[ids[position + 1]])
        count += 1
      }
    }
    #expect(count == 25_040 && abs(loss / Double(count) - 1.253967) < 1e-4, "\(loss / Double(count))")
  }
}
