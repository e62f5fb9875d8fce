import Foundation
import ModelFiles
import TensorCore
import Testing

struct AtomicFileTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test func appearsOnlyWhenCommitted() throws {
    let path = folder.file("out.bin")
    let file = try AtomicFile(path: path)
    try write([UInt8](repeating: 7, count: 1_000_000), to: file)
    #expect(folder.contents.count == 1 && !FileManager.default.fileExists(atPath: path))
    try file.commit()
    #expect(folder.contents == ["out.bin"])
    #expect(try ArtifactSamples.bytes(path) == [UInt8](repeating: 7, count: 1_000_000))
    file.discard()
    #expect(folder.contents == ["out.bin"])
  }

  @Test func leavesNothingWhenLetGo() throws {
    let path = folder.file("out.bin")
    try AtomicFile.write("old", to: path)
    do {
      let file = try AtomicFile(path: path)
      try write(Array("new".utf8), to: file)
    }
    #expect(folder.contents == ["out.bin"])
    #expect(try ArtifactSamples.bytes(path) == Array("old".utf8))
  }

  @Test(arguments: [0, 1, 100_000, 300_000, 699_999]) func fullDiskLeavesTheOldFile(limit: Int) throws {
    let path = folder.file("out.bin")
    try AtomicFile.write("old", to: path)
    let file = try AtomicFile(path: path, failingAfter: limit)
    let error = #expect(throws: ModelFileError.self) {
      for _ in 0..<7 { try write([UInt8](repeating: 1, count: 100_000), to: file) }
      try file.commit()
    }
    #expect(error?.reason == .system && error?.path == path)
    #expect(error?.message.contains("no space left") == true && error?.advice?.contains("-o") == true)
    #expect(folder.contents == ["out.bin"])
    #expect(try ArtifactSamples.bytes(path) == Array("old".utf8))
  }

  @Test func piecesGoToTheirPlaces() throws {
    let path = folder.file("out.bin")
    let file = try AtomicFile(path: path)
    let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 * 31 % 251) }
    try write(Array(bytes[..<1000]), to: file)
    try file.write(count: 298_000) { take in
      try Parallel.forEachThrowing(10) { index in
        let place = (9 - index) * 29_800
        try Array(bytes[1000 + place..<1000 + place + 29_800]).withUnsafeBytes { try take(place, $0) }
      }
    }
    try write(Array(bytes[299_000...]), to: file)
    #expect(file.byteCount == 300_000)
    try file.commit()
    #expect(try ArtifactSamples.bytes(path) == bytes)
  }

  @Test func piecesThatFailLeaveTheOldFile() throws {
    let path = folder.file("out.bin")
    try AtomicFile.write("old", to: path)
    let full = try AtomicFile(path: path, failingAfter: 150_000)
    let error = #expect(throws: ModelFileError.self) {
      try full.write(count: 300_000) { take in
        try Parallel.forEachThrowing(3) { index in
          try [UInt8](repeating: 1, count: 100_000).withUnsafeBytes { try take(100_000 * index, $0) }
        }
      }
    }
    #expect(error?.message.contains("no space left") == true && error?.path == path)
    let short = try AtomicFile(path: path)
    let missing = #expect(throws: ModelFileError.self) {
      try short.write(count: 10) { take in try [UInt8](1...3).withUnsafeBytes { try take(0, $0) } }
    }
    #expect(missing?.message.contains("not the 10 bytes") == true)
    let long = try AtomicFile(path: path)
    #expect(throws: ModelFileError.self) {
      try long.write(count: 10) { take in try [UInt8](0...10).withUnsafeBytes { try take(0, $0) } }
    }
    #expect(folder.contents == ["out.bin"])
    #expect(try ArtifactSamples.bytes(path) == Array("old".utf8))
  }

  @Test func severalWritersOfOneName() throws {
    let path = folder.file("out.bin")
    let files = try (0..<3).map { _ in try AtomicFile(path: path) }
    for (index, file) in files.enumerated() { try write([UInt8(index)], to: file) }
    for file in files { try file.commit() }
    #expect(folder.contents == ["out.bin"])
    #expect(try ArtifactSamples.bytes(path) == [2])
  }

  @Test func longNames() throws {
    let name = String(repeating: "ä", count: 120) + ".gguf.zst"  // 249 bytes
    try AtomicFile.write("x", to: folder.file(name))
    #expect(folder.contents == [name])
  }

  @Test func keepsLinksAndModes() throws {
    let (real, link) = (folder.file("real"), folder.file("link"))
    try AtomicFile.write("old", to: real)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: real)
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: real)
    try AtomicFile.write("new", to: link)
    #expect(try ArtifactSamples.bytes(real) == Array("new".utf8))
    #expect(try FileManager.default.destinationOfSymbolicLink(atPath: link) == real)
    let mode = try FileManager.default.attributesOfItem(atPath: real)[.posixPermissions] as? Int
    #expect(mode == 0o600)
  }

  @Test func refusesFoldersAndDevices() throws {
    #expect(reason { _ = try AtomicFile(path: folder.path) } == .unsafeOutput)
    #expect(reason { _ = try AtomicFile(path: "/dev/null") } == .unsafeOutput)
    #expect(reason { _ = try AtomicFile(path: folder.file("missing/out")) } == .system)
    #expect(reason { _ = try AtomicFile(path: folder.file("a/") + "/") } == .system)
  }

  @Test func refusesInputs() throws {
    let (input, link, hard) = (folder.file("in"), folder.file("link"), folder.file("hard"))
    try AtomicFile.write("model", to: input)
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: input)
    try FileManager.default.linkItem(atPath: input, toPath: hard)
    for output in [input, link, hard, folder.path + "/./in"] {
      #expect(reason { try AtomicFile.refuse(output, overwriting: ["/dev/null", input]) } == .unsafeOutput)
    }
    try AtomicFile.refuse(folder.file("other"), overwriting: [input])
  }

  @Test func refusesFoldersInsideTheInput() throws {
    let model = folder.file("model")
    try FileManager.default.createDirectory(atPath: model + "/sub", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("alias"), withDestinationPath: model + "/sub")
    for output in [model, model + "/new/folder", model + "/sub/../x", folder.file("alias/y")] {
      #expect(reason { try AtomicFile.refuse(output, inside: model) } == .unsafeOutput)
    }
    try AtomicFile.refuse(folder.file("model-int4"), inside: model)
    try AtomicFile.refuse(folder.file("model/../out"), inside: model)
  }

  @Test func freeSpaceOfAPathToBe() throws {
    let here = try #require(AtomicFile.freeSpace(at: folder.path))
    #expect(here > 0)
    #expect(AtomicFile.freeSpace(at: folder.file("not/yet/there")) != nil)
  }

  private func write(_ bytes: [UInt8], to file: AtomicFile) throws {
    try bytes.withUnsafeBytes { try file.write($0) }
  }

  private func reason(_ body: () throws -> Void) -> ModelFileError.Reason? {
    do { try body() } catch { return (error as? ModelFileError)?.reason }
    return nil
  }
}
