import Models
import TensorCore
import Testing

@Suite struct GenerationTests {
  private let logits: ArraySlice<Float> = [0, 2, 1, .nan, 2, -1]

  @Test func greedyTakesTheFirstLargest() {
    var sampler = Sampler()
    #expect(sampler.pick(logits) == 1)
  }

  @Test func seedsRepeat() {
    func draw(_ seed: UInt64) -> [Int] {
      var sampler = Sampler(temperature: 1.5, seed: seed)
      return (0..<50).map { _ in sampler.pick(logits) }
    }
    #expect(draw(3) == draw(3))
    #expect(draw(3) != draw(4))
    #expect(!draw(3).contains(3))
  }

  @Test func frequenciesAreTheProbabilities() {
    var sampler = Sampler(temperature: 0.5, seed: 1)
    var counts = [Int](repeating: 0, count: 3)
    for _ in 0..<20_000 { counts[sampler.pick([0, 0.5, 1])] += 1 }
    // exp(0), exp(1), exp(2) over their sum.
    for (count, expected) in zip(counts, [0.0900, 0.2447, 0.6652]) {
      #expect(abs(Double(count) / 20_000 - expected) < 0.015)
    }
  }

  @Test func topKAndTopPLimit() {
    var two = Sampler(temperature: 5, topK: 2, seed: 1)
    #expect(Set((0..<200).map { _ in two.pick(logits) }) == [1, 4])
    // Probabilities 0.665, 0.245, 0.09 (temperature 0.5): 0.7 needs two of them, 0.6 one.
    var nucleus = Sampler(temperature: 0.5, topP: 0.7, seed: 1)
    #expect(Set((0..<300).map { _ in nucleus.pick([0, 0.5, 1]) }) == [1, 2])
    var one = Sampler(temperature: 0.5, topP: 0.6, seed: 1)
    #expect(Set((0..<100).map { _ in one.pick([0, 0.5, 1]) }) == [2])
  }

  @Test func charactersStayWhole() {
    var stream = UTF8Stream()
    let bytes = Array("aé🙂z".utf8)
    let pieces = bytes.map { stream.add([$0]) }
    #expect(pieces.flatMap { $0 } + stream.finish() == bytes)
    #expect(pieces.allSatisfy { String(validating: $0, as: UTF8.self) != nil })
    #expect(stream.add([0x80, 0xFF, 0x61]) == [0x80, 0xFF, 0x61])
    #expect(stream.add([0xF0, 0x9F]) == [])
    #expect(stream.finish() == [0xF0, 0x9F])
  }

  @Test func generationStopsAtItsLimits() throws {
    let model = try languageModel(TinyModel.checkpoint("llama-tied"))
    let tokenizer = LetterTokenizer(stop: [])
    func generate(_ count: Int, _ tokenizer: LetterTokenizer) -> (Generator.Result, [UInt8]) {
      var text: [UInt8] = []
      let result = Generator.generate(
        model: model, tokenizer: tokenizer, prompt: [5, 6, 7], maxTokens: count, sampler: Sampler()
      ) { text += $0 }
      return (result, text)
    }
    let (short, text) = generate(4, tokenizer)
    #expect(short.tokens.count == 4 && short.reason == .tokenLimit)
    #expect(text == short.tokens.map { UInt8($0 + 32) })
    let (full, _) = generate(1000, tokenizer)
    #expect(full.tokens.count == 61 && full.reason == .contextLimit)
    let (stopped, _) = generate(4, LetterTokenizer(stop: [short.tokens[0]]))
    #expect(stopped.tokens.isEmpty && stopped.reason == .endOfText)
  }
}
