import Foundation
import Testing

/// Inputs and outputs that are no ordinary files and folders.
@Suite("Bad places")
struct BadPlaceTests {
  // MARK: Inputs

  @Test("pipes and devices are refused at once, wherever a file is expected", .timeLimit(.minutes(1)))
  func pipes() throws {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    mkfifo(scratch.path + "/pipe", 0o600)
    for name in ["pipe", "/dev/zero", "/dev/null"] {
      try Refusal.check(
        ["--int4", name, "-o", "out"], in: scratch, status: 74, [name, "neither a file nor a folder"])
      try Refusal.check(["inspect", name], in: scratch, status: 74, [name])
      for arguments in [
        ["--int4", "model", "-o", "out", "--eval", name], ["--recipe", name, "model", "-o", "out"],
        ["verify", name], ["unpack", name, "-o", "out"],
      ] {
        try Refusal.check(arguments, in: scratch, status: 74, [name, "no regular file"])
      }
    }
  }

  @Test("links to nowhere and in circles")
  func links() throws {
    let scratch = try Scratch()
    symlink("nowhere", scratch.path + "/dangling")
    symlink("circle", scratch.path + "/circle")
    try Refusal.check(["--int4", "dangling"], in: scratch, status: 74, ["dangling", "No such file"])
    try Refusal.check(["--int4", "circle"], in: scratch, status: 74, ["circle", "symbolic links"])
  }

  @Test("a file that may not be read")
  func unreadable() throws {
    let scratch = try Scratch()
    try scratch.write(try Samples.bytes("model.gguf"), to: "secret.gguf")
    chmod(scratch.path + "/secret.gguf", 0)
    guard getuid() == 0 else {
      try Refusal.check(
        ["--int4", "secret.gguf"], in: scratch, status: 74, ["secret.gguf", "Permission denied"])
      return
    }
    // Root may read everything: the program runs as nobody.
    let tool = try #require(
      Program.find("setpriv"), "running as root, and there is no setpriv to become nobody")
    chmod(scratch.path, 0o777)
    let outcome = try Program.run(
      ["--reuid=65534", "--regid=65534", "--clear-groups", Program.path, "--int4", "secret.gguf"],
      in: scratch.path, program: tool)
    #expect(outcome.status == 74)
    #expect(
      outcome.errors.hasPrefix("compress: secret.gguf: cannot open: Permission denied"), "\(outcome.errors)")
    #expect(scratch.contents == ["secret.gguf"])
  }

  @Test("names with spaces, other scripts, line breaks and a dash in front")
  func names() throws {
    let scratch = try Scratch()
    for name in ["two words.gguf", "модель-模型-🦙.gguf", "-o.gguf", "%s%n.gguf", "a\nb.gguf"] {
      try scratch.write(try Samples.bytes("model.gguf"), to: name)
      let outcome = try Program.run(["inspect", "--", name], in: scratch.path)
      #expect(outcome.status == 0, "\(outcome.errors)")
      try scratch.write([1, 2, 3, 4, 5, 6, 7, 8, 9], to: name)
      try Refusal.check(
        ["--int4", "-o", "out", "--", name], in: scratch,
        [name.replacingOccurrences(of: "\n", with: "\u{FFFD}")])
    }
    let long = String(repeating: "m", count: 240) + ".gguf"
    try scratch.write(try Samples.bytes("model.gguf"), to: long)
    let outcome = try Program.run(["--int8", long] + Samples.quick, in: scratch.path)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  // MARK: Outputs

  @Test("outputs where nothing can be written")
  func unwritable() throws {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    try scratch.write([1], to: "file")
    for place in ["/proc/none/out", "file/out", "/dev/null/out"] {
      try Refusal.check(["--int4", "model", "-o", place], in: scratch, status: 74, [place])
      try Refusal.check(["convert", "model", "-o", place], in: scratch, status: 74, [place])
    }
    for place in ["file", "/dev/null"] {
      try Refusal.check(["--int4", "model", "-o", place], in: scratch, status: 64, [place])
      try Refusal.check(["convert", "model", "-o", place], in: scratch, status: 64, [place])
    }
    for command in [["--int4", "model"], ["convert", "model"]] {
      try Refusal.check(command + ["-o", ""], in: scratch, status: 64, ["-o"])
    }
  }

  @Test("an output never replaces, holds or lies in an input, by whatever name it goes")
  func inputs() throws {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    symlink("model", scratch.path + "/link")
    try scratch.write(try Samples.bytes("model.gguf.zst"), to: "a.gguf.zst")
    link(scratch.path + "/a.gguf.zst", scratch.path + "/hard.gguf")
    for place in ["model", "./model/", "link", "model/out", "link/out", ".", "model/../model"] {
      try Refusal.check(["--int4", "model", "-o", place], in: scratch, status: 64, ["-o"])
      try Refusal.check(
        ["convert", "model", "--format", "safetensors", "-o", place, "--force"], in: scratch, status: 64,
        ["-o"])
    }
    for file in ["model/model.safetensors", "link/config.json", "model/tokenizer.model"] {
      try Refusal.check(["convert", "model", "-o", file, "--force"], in: scratch, status: 64, ["-o"])
      try Refusal.check(
        ["convert", "model/model.safetensors", "-o", file, "--force"], in: scratch, status: 64, ["-o"])
    }
    for file in ["a.gguf.zst", "hard.gguf"] {
      try Refusal.check(["unpack", "a.gguf.zst", "-o", file, "--force"], in: scratch, status: 64, ["-o"])
      try Refusal.check(["convert", "a.gguf.zst", "-o", file, "--force"], in: scratch, status: 64, ["-o"])
    }
    try Refusal.check(
      ["--int4", "model", "--eval", "a.gguf.zst", "-o", "a.gguf.zst"], in: scratch, status: 65, ["a.gguf.zst"]
    )
  }

  @Test("folders that hold other things are not replaced, whatever they hold besides")
  func foreignFolders() throws {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    try scratch.write([1], to: "precious/thesis.txt")
    try scratch.write([1], to: "precious/report.json")
    try Refusal.check(["--int4", "model", "-o", "precious"], in: scratch, status: 64, ["thesis.txt"])
    try Refusal.check(
      ["convert", "model", "--format", "safetensors", "-o", "precious", "--force"], in: scratch, status: 64,
      ["-o"])
  }

  @Test("a full disk: what was begun is removed, folders made for it too")
  func fullDisk() throws {
    let scratch = try Scratch()
    try scratch.copyFolder(to: "model")
    let disk = scratch.path + "/disk"
    try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: false)
    guard try BadPlaceTests.mount(disk) else {
      withKnownIssue("skipped: no small disk can be mounted here (needs root)") { Issue.record("not tested") }
      return
    }
    defer { _ = try? Program.run([disk], in: "/", program: Program.find("umount") ?? "umount") }
    for arguments in [
      ["--int4", "model", "-o", "disk/new/out"], ["convert", "model", "-o", "disk/m.gguf"],
      ["convert", "model", "-o", "disk/m.gguf.zst", "--pack", "--level", "1"],
      ["convert", "model", "-o", "disk/new/folder", "--format", "safetensors"],
      ["unpack", try Samples.artifact, "-o", "disk/m.gguf"],
    ] {
      let outcome = try Program.run(arguments, in: scratch.path)
      #expect(outcome.status == 74, "\(arguments): \(outcome.errors)")
      #expect(
        outcome.errors.split(separator: "\n").filter { $0.hasPrefix("compress: disk") }.count == 1,
        "\(outcome.errors)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: disk) == [], "\(arguments)")
    }
  }

  private static func mount(_ folder: String) throws -> Bool {
    guard getuid() == 0, let mount = Program.find("mount") else { return false }
    return try Program.run(["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], in: "/", program: mount).status
      == 0
  }

  @Test("a full standard output is an error, a closed one is not")
  func standardOutput() throws {
    let scratch = try Scratch()
    let full = try Program.shell(
      "'\(Program.path)' inspect '\(try Samples.gguf)' > /dev/full", in: scratch.path)
    #expect(full.status == 74)
    #expect(full.errors == "compress: cannot write to standard output: No space left on device\n")
    let closed = try Program.shell(
      "'\(Program.path)' inspect '\(try Samples.gguf)' --json | head -n 1", in: scratch.path)
    #expect(closed.status == 0)
    #expect(closed.output == "{\n" && closed.errors.isEmpty)
  }
}
