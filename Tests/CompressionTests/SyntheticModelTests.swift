import Compression
import Foundation
import ModelFiles
import Models
import TensorCore
import Testing

@Suite struct SyntheticModelTests {
  @Test("names")
  func names() throws {
    let plain = try #require(SyntheticModel("llama-1b"))
    #expect(plain.layers == 22 && plain.format == nil && plain.name == "llama-1b-22")
    let long = try #require(SyntheticModel("llama-1b-88:q4_k"))
    #expect(long.layers == 88 && long.format == .q4_k)
    for wrong in [
      "", "llama", "llama-1b-", "llama-1b-0", "llama-1b-x", "llama-1b:", "llama-1b:q9", "llama-1b22",
    ] {
      #expect(SyntheticModel(wrong) == nil)
    }
  }

  @Test("shapes of TinyLlama, a vocabulary of words, and weights of the size that training starts with")
  func checkpoint() throws {
    let model = try #require(SyntheticModel("llama-1b-1"))
    let checkpoint = try model.checkpoint()
    #expect(
      checkpoint.parameterCount == 2 * 32_000 * 2048 + 2048 * (2 * 2048 + 2 * 256 + 3 * 5632) + 3 * 2048)
    #expect(checkpoint.tensors.allSatisfy { $0.format == .bf16 })
    let tokenizer = try #require(checkpoint.tokenizer)
    #expect(tokenizer.vocabularySize == 32_000)
    let text = Array("The cat, and 7 dogs.".utf8)
    let ids = tokenizer.encode(text, addSpecial: true)
    #expect(ids.first == 1 && ids.count < text.count)
    let keys = try #require(checkpoint.tensor("model.layers.0.self_attn.k_proj.weight"))
    let values = try keys.bytes.load().array
    let floats = stride(from: 0, to: values.count, by: 2).map {
      Double(Float(bitPattern: UInt32(values[$0 + 1]) << 24 | UInt32(values[$0]) << 16))
    }
    let mean = floats.reduce(0, +) / Double(floats.count)
    let square = floats.reduce(0) { $0 + $1 * $1 } / Double(floats.count)
    #expect(abs(mean) < 1e-4 && abs(square.squareRoot() / 0.02 - 1) < 0.01)
  }

  @Test("the same weights on any number of threads")
  func threads() throws {
    let threads = Parallel.threadCount
    defer { Parallel.threadCount = threads }
    let name = "model.layers.0.self_attn.v_proj.weight"
    let model = try #require(SyntheticModel("llama-1b-1"))
    let tensor = try #require(try model.checkpoint().tensor(name))
    Parallel.threadCount = 1
    let alone = try tensor.bytes.load().array
    Parallel.threadCount = 3
    #expect(try tensor.bytes.load().array == alone)
    #expect(FileHash.sha256(of: ByteRegion(alone)).prefix(8) == "4fb1a322")
  }
}
